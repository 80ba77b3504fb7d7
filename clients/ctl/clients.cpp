#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>

#include "clients/ctl/admin_call.hpp"
#include "clients/ctl/admin_client.hpp"
#include "clients/ctl/verb.hpp"

/// What parleyctl asks a node about its clients.
namespace parley::ctl {
namespace {

constexpr std::uint64_t kPage = 1'000;  ///< What a node gives at a time.

struct Options : AdminOptions {
  std::string client_id;
  std::string reason;
  std::string prefix;
  std::string user;
  std::string after;
  std::uint64_t limit = 100;
  bool absent = false;
};

std::shared_ptr<Options> common_options(CLI::App& command) {
  auto options = std::make_shared<Options>();
  add_admin_options(command, *options);
  return options;
}

constexpr std::array kListColumns{Column{"CLIENT", "client_id"},
                                  Column{"USER", "user"},
                                  Column{"ADDRESS", "address"},
                                  Column{"OVER", "transport"},
                                  Column{"MQTT", "version"},
                                  Column{"FOR", "connected_seconds", true},
                                  Column{"SUBSCRIPTIONS", "subscriptions"},
                                  Column{"INFLIGHT", "inflight"},
                                  Column{"QUEUED", "queued"},
                                  Column{"NODE", "node"}};
constexpr std::array kClientColumns{Column{"CLIENT", "client_id"},
                                    Column{"USER", "user"},
                                    Column{"NODE", "node"},
                                    Column{"CONNECTED", "connected"},
                                    Column{"ADDRESS", "address"},
                                    Column{"OVER", "transport"},
                                    Column{"MQTT", "version"},
                                    Column{"FOR", "connected_seconds", true},
                                    Column{"SUBSCRIPTIONS", "subscriptions"},
                                    Column{"INFLIGHT", "inflight"},
                                    Column{"QUEUED", "queued"},
                                    Column{"EXPIRES AFTER", "expiry_seconds", true}};

std::string path_of(const Options& options, const std::string& after, std::uint64_t limit) {
  std::string path = "/v1/clients?limit=" + std::to_string(limit);
  if (!options.prefix.empty()) path += "&prefix=" + percent_encoded(options.prefix);
  if (!options.user.empty()) path += "&user=" + percent_encoded(options.user);
  if (!after.empty()) path += "&after=" + percent_encoded(after);
  if (options.absent) path += "&absent=true";
  return path;
}

int list(const Options& options) {
  boost::json::array rows;
  std::string after = options.after;
  while (rows.size() < options.limit) {
    const std::uint64_t wanted = std::min<std::uint64_t>(kPage, options.limit - rows.size());
    const auto page = ask_for(options, "GET", path_of(options, after, wanted));
    if (!page.is_array() || page.as_array().empty()) break;
    rows.insert(rows.end(), page.as_array().begin(), page.as_array().end());
    if (page.as_array().size() < wanted) break;
    const auto* last = page.as_array().back().as_object().if_contains("client_id");
    if (last == nullptr || !last->is_string()) break;
    after = std::string(last->as_string());
  }
  show(options, rows, kListColumns);
  return 0;
}

}  // namespace

std::function<int()> declare_clients_list(CLI::App& command) {
  auto options = common_options(command);
  command.add_option("--prefix", options->prefix, "Those whose client id begins so")->option_text("TEXT");
  command.add_option("--user", options->user, "Those of this user")->option_text("USER");
  command.add_option("--after", options->after, "Go on behind this client id")->option_text("CLIENT");
  command.add_option("--limit", options->limit, "How many at the most")->capture_default_str();
  command.add_flag("--absent", options->absent, "Also sessions whose client isn't connected");
  return [options] { return list(*options); };
}

std::function<int()> declare_clients_show(CLI::App& command) {
  auto options = common_options(command);
  command.add_option("CLIENT", options->client_id, "The client id")->required();
  return [options] {
    show(*options, ask_for(*options, "GET", "/v1/clients/" + percent_encoded(options->client_id)), kClientColumns);
    return 0;
  };
}

std::function<int()> declare_clients_kick(CLI::App& command) {
  auto options = common_options(command);
  command.add_option("CLIENT", options->client_id, "The client id")->required();
  command.add_option("--reason", options->reason, "Told to an MQTT 5 client")->option_text("TEXT");
  return [options] {
    std::string path = "/v1/clients/" + percent_encoded(options->client_id) + "/kick";
    if (!options->reason.empty()) path += "?reason=" + percent_encoded(options->reason);
    show(*options, ask_for(*options, "POST", path), kClientColumns);
    return 0;
  };
}

}  // namespace parley::ctl
