#include <CLI/CLI.hpp>
#include <array>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "clients/ctl/admin_call.hpp"
#include "clients/ctl/admin_client.hpp"
#include "clients/ctl/table.hpp"
#include "clients/ctl/verb.hpp"

/// Erasing users: a node is told, and says how far it is.
namespace parley::ctl {
namespace {

using namespace std::chrono_literals;

/// Until the slot of the user's name has a leader that takes it.
constexpr int kAttemptsMax = 20;

constexpr std::array kColumns{Column{"USER", "user"},         Column{"STATE", "state"},
                              Column{"MESSAGES", "messages"}, Column{"SLOTS DONE", "slots_done"},
                              Column{"HERE", "slots"},        Column{"OF", "slots_all"}};

struct Options : AdminOptions {
  std::string user;
  bool watch = false;
};

std::shared_ptr<Options> declare(CLI::App& command) {
  auto options = std::make_shared<Options>();
  add_admin_options(command, *options);
  return options;
}

/// As the node knows it; null: it doesn't.
boost::json::value find(const Options& options) {
  const auto rows = ask_for(options, "GET", "/v1/erasures");
  for (const auto& row : rows.as_array()) {
    if (row.at("user").as_string() == options.user) return row;
  }
  return nullptr;
}

bool has_begun(const boost::json::value& row, const boost::json::value& before) {
  if (row.is_null()) return false;
  return before.is_null() || before.at("state").as_string() == "open" || row.at("started") != before.at("started");
}

boost::json::value begin(const Options& options) {
  const auto before = find(options);
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    (void)ask_for(options, "POST", "/v1/users/" + percent_encoded(options.user) + "/erase");
    std::this_thread::sleep_for(1s);
    auto row = find(options);
    if (has_begun(row, before)) return row;
  }
  throw std::runtime_error(
      "this node doesn't show that the erasure has begun: no majority keeps the user, or only other nodes do; "
      "users erasures there says more");
}

int erase(const Options& options) {
  auto row = begin(options);
  while (options.watch && row.at("state").as_string() == "open") {
    ask(options.user + ": " + boost::json::serialize(row.at("slots_done")) + " of " +
        boost::json::serialize(row.at("slots")) + " slots, " + boost::json::serialize(row.at("messages")) +
        " messages\n");
    std::this_thread::sleep_for(1s);
    if (auto next = find(options); !next.is_null()) row = std::move(next);
  }
  show(options, row, kColumns);
  return 0;
}

}  // namespace

std::function<int()> declare_users_erase(CLI::App& command) {
  auto options = declare(command);
  command.add_option("NAME", options->user, "The user")->required();
  command.add_flag("--watch", options->watch, "Wait until it is done");
  return [options] { return erase(*options); };
}

std::function<int()> declare_users_erasures(CLI::App& command) {
  auto options = declare(command);
  return [options] {
    show(*options, ask_for(*options, "GET", "/v1/erasures"), kColumns);
    return 0;
  };
}

}  // namespace parley::ctl
