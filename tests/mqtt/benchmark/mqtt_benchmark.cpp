#include <benchmark/benchmark.h>

#include <string>

#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"
#include "mqtt/message.hpp"
#include "mqtt/topic.hpp"
#include "mqtt/utf8.hpp"
#include "tests/mqtt/notation.hpp"

/// What a message costs on its way through the codec. A release build; figures are for comparing, not for tests.
namespace parley::mqtt {
namespace {

constexpr std::string_view kTopic = "sensors/building-7/room-12/temperature";

/// A PUBLISH of 200 bytes in all.
std::string publish_of_200(Qos qos, const Properties& properties) {
  Publish packet{.qos = qos, .topic = kTopic, .packet_id = 10, .properties = properties};
  const std::string payload(200 - encoded_size(packet, ProtocolVersion::V5) - 1, 'p');
  packet.payload = payload;
  return encoded(packet, ProtocolVersion::V5);
}

Properties two_user_properties() {
  return properties("01 01 26 00 02 'id' 00 08 '0123abcd' 26 00 04 'from' 00 03 'ann'");
}

/// The Output of a connection whose socket takes everything now and then.
void write_out(Output& output) {
  if (output.size() > 6'000) output.clear();
}

void BM_NextFrame(benchmark::State& state) {
  const std::string wire = publish_of_200(Qos::AtMostOnce, {});
  for (auto _ : state) {
    auto frame = next_frame(wire, {});
    benchmark::DoNotOptimize(frame);
  }
}
BENCHMARK(BM_NextFrame);

void BM_DecodePublish(benchmark::State& state) {
  const std::string wire =
      publish_of_200(static_cast<Qos>(state.range(0)), state.range(1) != 0 ? two_user_properties() : Properties());
  for (auto _ : state) {
    const auto frame = next_frame(wire, {});
    auto packet = decode_publish(**frame, ProtocolVersion::V5);
    benchmark::DoNotOptimize(packet);
  }
}
BENCHMARK(BM_DecodePublish)->Args({0, 0})->Args({1, 0})->Args({0, 1});

void BM_MakeMessage(benchmark::State& state) {
  const std::string payload(150, 'p');
  for (auto _ : state) {
    auto message = Message::make({.topic = kTopic, .payload = payload});
    benchmark::DoNotOptimize(message);
  }
}
BENCHMARK(BM_MakeMessage);

void BM_EncodeDelivery(benchmark::State& state) {
  const std::string payload(150, 'p');
  const auto message = Message::make({.topic = kTopic, .payload = payload});
  const Delivery delivery{.qos = static_cast<Qos>(state.range(0)), .packet_id = 10};
  Output output;
  for (auto _ : state) {
    encode_delivery(output, *message, delivery);
    write_out(output);
  }
}
BENCHMARK(BM_EncodeDelivery)->Arg(0)->Arg(1);

/// All of it: frame, packet, message, one receiver.
void BM_OneToOne(benchmark::State& state) {
  const std::string wire = publish_of_200(Qos::AtMostOnce, state.range(0) != 0 ? two_user_properties() : Properties());
  Output output;
  std::string buffer;
  for (auto _ : state) {
    const auto frame = next_frame(wire, {});
    const auto packet = decode_publish(**frame, ProtocolVersion::V5);
    const auto message = Message::make({.topic = packet->topic,
                                        .properties = forwarded_properties(packet->properties, buffer),
                                        .payload = packet->payload,
                                        .qos = packet->qos});
    encode_delivery(output, *message, {});
    write_out(output);
  }
}
BENCHMARK(BM_OneToOne)->Arg(0)->Arg(1);

void BM_DecodeAck(benchmark::State& state) {
  const std::string wire = bytes("40 02 00 0A");
  for (auto _ : state) {
    const auto frame = next_frame(wire, {});
    auto ack = decode_ack(**frame, ProtocolVersion::V5);
    benchmark::DoNotOptimize(ack);
  }
}
BENCHMARK(BM_DecodeAck);

void BM_Utf8(benchmark::State& state) {
  const std::string text(static_cast<std::size_t>(state.range(0)), 'a');
  for (auto _ : state) benchmark::DoNotOptimize(is_mqtt_utf8_without_wildcards(text));
}
BENCHMARK(BM_Utf8)->Arg(5)->Arg(12)->Arg(37)->Arg(200);

void BM_ValidateProperties(benchmark::State& state) {
  const auto list = two_user_properties();
  for (auto _ : state) {
    auto validated = Properties::validate(list.bytes(), PropertyPlace::Publish);
    benchmark::DoNotOptimize(validated);
  }
}
BENCHMARK(BM_ValidateProperties);

void BM_MatchFilter(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(matches("sensors/+/room-12/#", kTopic));
}
BENCHMARK(BM_MatchFilter);

}  // namespace
}  // namespace parley::mqtt

BENCHMARK_MAIN();
