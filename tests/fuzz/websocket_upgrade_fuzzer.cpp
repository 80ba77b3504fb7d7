#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/net/websocket_upgrade.hpp"

/// A request: it has one answer, which is whole, and 101 only when it is accepted.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley::net;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto end = end_of_request(bytes);
  if (end == bytes.npos || end > kUpgradeRequestMax) return 0;
  const std::array<std::string, 1> origins{"https://chat.example"};
  const auto answer = answer_upgrade(bytes.substr(0, end), {.path = "/mqtt", .origins = origins});
  if (answer.accepted != answer.response.starts_with("HTTP/1.1 101 ")) __builtin_trap();
  if (answer.accepted == !answer.why.empty()) __builtin_trap();
  if (end_of_request(answer.response) != answer.response.size()) __builtin_trap();
  return 0;
}
