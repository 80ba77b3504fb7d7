#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <string>

#include "clients/ctl/admin_call.hpp"
#include "clients/ctl/admin_client.hpp"
#include "clients/ctl/table.hpp"
#include "clients/ctl/verb.hpp"

/// What parleyctl asks the node's admin socket.
namespace parley::ctl {
namespace {

struct Options : AdminOptions {
  std::string node;
  std::uint64_t slot = 0;
};

std::shared_ptr<Options> common_options(CLI::App& command) {
  auto options = std::make_shared<Options>();
  add_admin_options(command, *options);
  return options;
}

int show_table(const Options& options, const std::string& path, std::span<const Column> columns) {
  show(options, ask_for(options, "GET", path), columns);
  return 0;
}

std::function<int()> declare_order(CLI::App& command, const char* order) {
  auto options = common_options(command);
  command.add_option("NODE", options->node, "The node's name")->required();
  return [options, order] {
    const auto value = ask_for(*options, "POST", "/v1/nodes/" + percent_encoded(options->node) + "/" + order);
    if (options->json) print_json(value);
    return 0;
  };
}

constexpr std::array kStatusColumns{Column{"NODE", "node"}, Column{"VERSION", "version"}, Column{"PID", "pid"},
                                    Column{"UP", "uptime_seconds", true}, Column{"THREADS", "threads"}};
constexpr std::array kClusterColumns{Column{"CLUSTER", "name"},
                                     Column{"ID", "id"},
                                     Column{"REDIS", "redis"},
                                     Column{"CLIENTS", "clients"},
                                     Column{"NODES", "nodes"},
                                     Column{"UP", "nodes_up"},
                                     Column{"SLOTS", "slots"},
                                     Column{"LED HERE", "slots_led_here"},
                                     Column{"WITHOUT LEADER", "slots_without_leader"}};
constexpr std::array kNodeColumns{Column{"NAME", "name"},         Column{"ADDRESS", "address"},
                                  Column{"STATE", "state"},       Column{"FOR", "since_seconds", true},
                                  Column{"DRAINING", "draining"}, Column{"LEAVING", "leaving"},
                                  Column{"LEASE", "lease"},       Column{"SLOTS", "slots"},
                                  Column{"LEADING", "leading"},   Column{"RTT US", "round_trip_us"}};
constexpr std::array kSlotColumns{
    Column{"SLOT", "slot"},         Column{"LEADER", "leader"},     Column{"TERM", "term"},
    Column{"REPLICAS", "replicas"}, Column{"LEARNERS", "learners"}, Column{"MOVED TO", "pinned"},
    Column{"LAST", "last"},         Column{"COMMIT", "commit"},     Column{"WHOLE HERE", "whole"}};

}  // namespace

std::function<int()> declare_status(CLI::App& command) {
  auto options = common_options(command);
  return [options] {
    const auto value = ask_for(*options, "GET", "/v1/status");
    if (options->json) {
      print_json(value);
      return 0;
    }
    print(table(kStatusColumns, {value}));
    const auto* cluster = value.is_object() ? value.as_object().if_contains("cluster") : nullptr;
    if (cluster != nullptr && cluster->is_object()) print("\n" + table(kClusterColumns, {*cluster}));
    return 0;
  };
}

std::function<int()> declare_nodes_list(CLI::App& command) {
  auto options = common_options(command);
  return [options] { return show_table(*options, "/v1/nodes", kNodeColumns); };
}

std::function<int()> declare_slots_list(CLI::App& command) {
  auto options = common_options(command);
  return [options] { return show_table(*options, "/v1/slots", kSlotColumns); };
}

std::function<int()> declare_slots_move(CLI::App& command) {
  auto options = common_options(command);
  command.add_option("SLOT", options->slot, "The slot's number")->required();
  command.add_option("NODE", options->node, "The node's name")->required();
  return [options] {
    const std::string slot = std::to_string(options->slot);
    const auto value = ask_for(*options, "POST", "/v1/slots/" + slot + ":" + percent_encoded(options->node) + "/move");
    if (options->json) print_json(value);
    return 0;
  };
}
std::function<int()> declare_slots_release(CLI::App& command) {
  auto options = common_options(command);
  command.add_option("SLOT", options->slot, "The slot's number")->required();
  return [options] {
    const auto value = ask_for(*options, "POST", "/v1/slots/" + std::to_string(options->slot) + "/release");
    if (options->json) print_json(value);
    return 0;
  };
}

std::function<int()> declare_nodes_drain(CLI::App& command) { return declare_order(command, "drain"); }
std::function<int()> declare_nodes_undrain(CLI::App& command) { return declare_order(command, "undrain"); }
std::function<int()> declare_nodes_remove(CLI::App& command) { return declare_order(command, "remove"); }

}  // namespace parley::ctl
