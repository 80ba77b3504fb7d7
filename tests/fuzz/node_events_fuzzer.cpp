#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.hpp"
#include "broker/shard/node_events.hpp"
#include "broker/shard/share_command.hpp"

/// Any bytes as an event of another node: what is accepted is encoded to the same bytes again. The same of what a
/// proposal says about a shared subscription.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto event = shard::remote::decode(bytes);
  if (!event) return 0;
  if (const auto* proposal = std::get_if<shard::remote::Propose>(&*event)) {
    const auto command = shard::decode_share_command(proposal->payload);
    PARLEY_CHECK(!command || encode(*command) == proposal->payload, "a command changes when encoded again");
  }
  const std::string again = shard::remote::encode_for(Slot{0}, *event);
  PARLEY_CHECK(std::string_view(again).substr(2) == bytes, "an event changes when encoded again");
  return 0;
}
