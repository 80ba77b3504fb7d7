#pragma once

#include <string>
#include <string_view>

#include "broker/admin/node_admin.hpp"

/// The calls of the admin socket. Pure but for the port.
namespace parley::admin {

struct Request {
  std::string_view method;
  std::string_view target;  ///< Path; a node's name in it is percent-encoded.
};

struct Answer {
  unsigned status = 200;
  std::string_view type = "application/json";
  std::string body;  ///< Of that type; errors are JSON and have `error` (a stable word) and `message`.
};

Answer answer(const Request& request, NodeAdmin& node);

/// As it goes over the wire, the connection's end included.
std::string http_response(const Answer& answer);

}  // namespace parley::admin
