#include "clients/ctl/admin_call.hpp"

#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>

#include "clients/ctl/admin_client.hpp"
#include "clients/ctl/verb.hpp"

namespace parley::ctl {

void add_admin_options(CLI::App& command, AdminOptions& options) {
  command.add_option("--socket", options.socket, "The node's admin socket")->option_text("PATH");
  command.add_option("--config", options.config_file, "The node's configuration file, which says where it is")
      ->option_text("FILE");
  command.add_flag("--json", options.json, "Print JSON");
}

boost::json::value ask_for(const AdminOptions& options, const std::string& method, const std::string& path) {
  return ask_node(admin_socket(options.socket, options.config_file), method, path);
}

void print_json(const boost::json::value& value) { print(boost::json::serialize(value) + "\n"); }

void show(const AdminOptions& options, const boost::json::value& value, std::span<const Column> columns) {
  if (options.json) {
    print_json(value);
  } else if (value.is_array()) {
    print(table(columns, value.as_array()));
  } else {
    print(table(columns, {value}));
  }
}

}  // namespace parley::ctl
