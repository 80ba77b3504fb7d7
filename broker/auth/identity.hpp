#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

/// Who a client is. Pure; any thread.
namespace parley::auth {

/// What CONNECT says about the client. Views are the caller's.
struct Credentials {
  std::string_view client_id;
  std::optional<std::string_view> user_name;
  std::optional<std::string_view> password;
};

/// The user of a client on a listener that allows anonymous ones: its MQTT user name as it stands, else its client id
/// with the characters that no name may have replaced by `_`. Nothing when the user name is no valid name
/// (docs/PROTOCOL.md "Names").
std::optional<std::string> anonymous_user(const Credentials& credentials);

}  // namespace parley::auth
