#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.hpp"
#include "broker/shard/node_events.hpp"

/// Any bytes as an event of another node: what is accepted is encoded to the same bytes again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto event = shard::remote::decode(bytes);
  if (!event) return 0;
  const std::string again = shard::remote::encode_for(Slot{0}, *event);
  PARLEY_CHECK(std::string_view(again).substr(2) == bytes, "an event changes when encoded again");
  return 0;
}
