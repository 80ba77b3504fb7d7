#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/net/websocket_upgrade.hpp"

/// A request: it has one answer, which is whole, and 101 only when it is accepted. Who is turned away hears why, but
/// for a load balancer, which has asked for something else.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley::net;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto end = end_of_request(bytes);
  if (end == bytes.npos || end > kUpgradeRequestMax) return 0;
  const std::array<std::string, 1> origins{"https://chat.example"};
  const auto answer = answer_upgrade(bytes.substr(0, end), {.path = "/mqtt", .origins = origins});
  const bool is_probe = answer.response.starts_with("HTTP/1.1 200 ");
  if (answer.accepted != answer.response.starts_with("HTTP/1.1 101 ")) __builtin_trap();
  if (answer.why.empty() != (answer.accepted || is_probe)) __builtin_trap();
  if (end_of_request(answer.response) != answer.response.size()) __builtin_trap();
  return 0;
}
