#include "tests/mqtt/samples.hpp"

#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

TEST(Samples, HaveEveryPacketTypeInEveryVersion) {
  std::set<std::tuple<ProtocolVersion, int>> seen;
  for (const Sample& sample : samples()) {
    seen.emplace(sample.version, static_cast<unsigned char>(bytes(sample.bytes)[0]) >> 4);
  }
  for (const ProtocolVersion version : kVersions) {
    for (int type = 1; type <= (version == ProtocolVersion::V5 ? 15 : 14); ++type) {
      EXPECT_TRUE(seen.contains({version, type})) << name_of(static_cast<PacketType>(type));
    }
  }
}

TEST(Encoder, WritesTheExactBytesOfEverySample) {
  for (const Sample& sample : samples()) {
    EXPECT_EQ(hex(encoded(sample.packet, sample.version)), hex(bytes(sample.bytes))) << sample.name;
  }
}

TEST(Encoder, KnowsTheSizeOfEverySampleBeforehand) {
  for (const Sample& sample : samples()) {
    EXPECT_EQ(encoded_size(sample.packet, sample.version), bytes(sample.bytes).size()) << sample.name;
  }
}

TEST(Decoder, ReadsEverySample) {
  for (const Sample& sample : samples()) {
    const std::string wire = bytes(sample.bytes);
    const auto packet = decoded(wire, sample.version);
    ASSERT_TRUE(packet) << sample.name << ": " << packet.error().message();
    EXPECT_EQ(describe(*packet), describe(sample.packet)) << sample.name;
  }
}

TEST(Decoder, WaitsForTheRestOfEverySampleThatIsCutShort) {
  for (const Sample& sample : samples()) {
    const std::string wire = bytes(sample.bytes);
    for (std::size_t size = 0; size < wire.size(); ++size) {
      // A copy of its own, so that a read beyond the cut is seen by AddressSanitizer.
      const std::string cut = wire.substr(0, size);
      std::size_t needed = 99;
      const auto frame = next_frame(cut, {}, &needed);
      ASSERT_TRUE(frame) << sample.name << " cut to " << size;
      EXPECT_FALSE(*frame) << sample.name << " cut to " << size;
      EXPECT_EQ(needed, size < 2 ? 0 : wire.size()) << sample.name << " cut to " << size;
    }
  }
}

TEST(Decoder, NeverReadsBeyondABodyThatIsCutShort) {
  for (const Sample& sample : samples()) {
    const std::string wire = bytes(sample.bytes);
    const auto whole = next_frame(wire, {});
    ASSERT_TRUE(whole && *whole);
    for (std::size_t size = 0; size < (*whole)->body.size(); ++size) {
      const std::string body((*whole)->body.substr(0, size));
      Frame frame = **whole;
      frame.body = body;
      // Some bodies are whole at several sizes (reason left out, a payload): then they are decoded, else refused.
      const auto packet = decode(frame, sample.version, {});
      if (packet) {
        EXPECT_TRUE(decoded(encoded(*packet, sample.version), sample.version)) << sample.name << " cut to " << size;
      }
    }
  }
}

/// True where one byte more at the end makes another packet of the same kind: a longer payload, one reason more, or the
/// reason that was left out.
bool may_go_on(const Packet& packet) {
  if (const auto* ack = std::get_if<Ack>(&packet)) return ack->properties.empty();
  if (const auto* disconnect = std::get_if<Disconnect>(&packet)) return disconnect->properties.empty();
  return std::holds_alternative<Publish>(packet) || std::holds_alternative<Suback>(packet) ||
         std::holds_alternative<Unsuback>(packet);
}

TEST(Decoder, RefusesABodyThatGoesOn) {
  for (const Sample& sample : samples()) {
    if (may_go_on(sample.packet)) continue;
    const std::string wire = bytes(sample.bytes);
    const auto whole = next_frame(wire, {});
    ASSERT_TRUE(whole && *whole);
    for (const char more : {'\x00', '\x7F', '\xFF'}) {
      const std::string body = std::string((*whole)->body) + more;
      Frame frame = **whole;
      frame.body = body;
      EXPECT_FALSE(decode(frame, sample.version, {})) << sample.name;
    }
  }
}

TEST(Decoder, CutsSeveralPacketsOutOfOneStream) {
  std::string stream;
  for (const Sample& sample : samples()) stream += bytes(sample.bytes);
  std::size_t count = 0;
  for (std::string_view rest = stream; !rest.empty(); ++count) {
    const auto frame = next_frame(rest, {});
    ASSERT_TRUE(frame && *frame);
    EXPECT_EQ(rest.substr(0, (*frame)->size), bytes(samples()[count].bytes));
    rest.remove_prefix((*frame)->size);
  }
  EXPECT_EQ(count, samples().size());
}

TEST(Decoder, SurvivesEverySampleWithAnyOneByteChanged) {
  for (const Sample& sample : samples()) {
    const std::string wire = bytes(sample.bytes);
    for (std::size_t place = 0; place < wire.size(); ++place) {
      for (unsigned value = 0; value < 256; ++value) {
        std::string changed = wire;
        changed[place] = static_cast<char>(value);
        const auto packet = decoded(changed, sample.version);
        if (!packet) continue;
        const auto version =
            std::holds_alternative<Connect>(*packet) ? std::get<Connect>(*packet).version : sample.version;
        const auto again = decoded(encoded(*packet, version), version);
        ASSERT_TRUE(again) << sample.name << " with " << value << " at " << place;
      }
    }
  }
}

}  // namespace
}  // namespace parley::mqtt
