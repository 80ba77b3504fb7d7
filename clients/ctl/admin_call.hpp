#pragma once

#include <boost/json/value.hpp>
#include <span>
#include <string>

#include "clients/ctl/table.hpp"

namespace CLI {
class App;
}

/// What the verbs that ask a node's admin socket have in common.
namespace parley::ctl {

struct AdminOptions {
  std::string socket;
  std::string config_file;
  bool json = false;
};

/// `options` lives as long as the command.
void add_admin_options(CLI::App& command, AdminOptions& options);

boost::json::value ask_for(const AdminOptions& options, const std::string& method, const std::string& path);

void print_json(const boost::json::value& value);
/// As JSON if that is wanted, else as a table; a single object is its only row.
void show(const AdminOptions& options, const boost::json::value& value, std::span<const Column> columns);

}  // namespace parley::ctl
