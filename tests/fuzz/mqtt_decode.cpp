#include <cstdint>
#include <string_view>

#include "base/check.hpp"
#include "tests/mqtt/notation.hpp"

/// First byte: the version. The rest: a stream of packets. What decodes must encode, to the size that was announced,
/// and decode to the same.
using namespace parley;  // NOLINT

namespace {

void check_round_trip(const mqtt::Packet& packet, mqtt::ProtocolVersion version) {
  const auto* connect = std::get_if<mqtt::Connect>(&packet);
  const auto as = connect != nullptr ? connect->version : version;
  const std::string wire = mqtt::encoded(packet, as);
  PARLEY_CHECK(wire.size() == mqtt::encoded_size(packet, as), "the size was announced wrongly");
  const auto again = mqtt::decoded(wire, as);
  PARLEY_CHECK(again, "what was decoded doesn't decode again");
  PARLEY_CHECK(mqtt::describe(*again) == mqtt::describe(packet), "what was decoded decodes to something else");
  PARLEY_CHECK(mqtt::encoded(*again, as) == wire, "what was decoded encodes to something else");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto version = mqtt::kVersions[data[0] % 3];
  const mqtt::DecodeLimits limits{.packet_size_max = 1'000'000, .items_max = 50};
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (true) {
    std::size_t needed = 0;
    const auto frame = mqtt::next_frame(rest, limits, &needed);
    if (!frame) return 0;
    if (!*frame) {
      PARLEY_CHECK(needed == 0 || needed > rest.size(), "a packet that is whole is waited for");
      return 0;
    }
    PARLEY_CHECK((*frame)->size >= 2 && (*frame)->size <= rest.size(), "a packet goes beyond its bytes");
    if (const auto packet = mqtt::decode(**frame, version, limits)) check_round_trip(*packet, version);
    rest.remove_prefix((*frame)->size);
  }
}
