#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace parley::ctl {

/// Where the admin socket of the node is that this machine's files describe: `socket`, if given, else what the
/// configuration file says, else what the standard settings say. Throws ConfigError.
std::string admin_socket(const std::string& socket, const std::string& config_file);

/// Asks the node, once. Blocks, for ten seconds at the most. Throws std::runtime_error, with a sentence, when it can't
/// be reached or refuses.
boost::json::value ask_node(const std::string& socket, const std::string& method, const std::string& path);

/// As it stands in a path.
std::string percent_encoded(const std::string& name);

}  // namespace parley::ctl
