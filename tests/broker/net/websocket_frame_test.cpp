#include "broker/net/websocket_frame.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace parley::net {
namespace {

using namespace std::string_literals;

constexpr std::uint8_t kFinal = 0x80;

/// A client's frame, masked with 01 02 03 04.
std::string frame(std::uint8_t first, std::string payload) {
  std::string bytes(1, static_cast<char>(first));
  if (payload.size() < 126) {
    bytes += static_cast<char>(0x80 | payload.size());
  } else {
    bytes += static_cast<char>(0x80 | (payload.size() < 65'536 ? 126 : 127));
    for (int shift = payload.size() < 65'536 ? 8 : 56; shift >= 0; shift -= 8) {
      bytes += static_cast<char>(payload.size() >> shift & 0xFF);
    }
  }
  bytes += "\1\2\3\4";
  for (std::size_t i = 0; i < payload.size(); ++i)
    payload[i] = static_cast<char>(payload[i] ^ static_cast<char>(i % 4 + 1));
  return bytes + payload;
}

struct Read {
  std::string stream;
  std::string answers;
  CloseCode failure = CloseCode::None;
  bool closed = false;
};

/// In pieces of `size` bytes.
Read read(std::string bytes, std::size_t size) {
  WebSocketDecoder decoder;
  Read all;
  for (std::size_t at = 0; at < bytes.size() && all.failure == CloseCode::None && !all.closed; at += size) {
    const std::span<char> piece(bytes.data() + at, std::min(size, bytes.size() - at));
    const auto outcome = decoder.decode(piece, all.answers);
    all.stream.append(piece.data(), outcome.payload);
    all.failure = outcome.failure;
    all.closed = outcome.closed;
  }
  return all;
}

TEST(WebSocketDecoder, ReadsOneStreamHoweverItIsCut) {
  const std::string bytes = frame(0x02, "one ") + frame(kFinal | 9, "ping") + frame(0x00, "") + frame(0x00, "two ") +
                            frame(kFinal | 0x00, std::string(126, 'a')) + frame(kFinal | 10, "pong") +
                            frame(kFinal | 2, std::string(70'000, 'b')) + frame(kFinal | 9, "");
  for (const std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, bytes.size()}) {
    const auto all = read(bytes, size);
    EXPECT_EQ(all.failure, CloseCode::None);
    EXPECT_EQ(all.stream, "one two " + std::string(126, 'a') + std::string(70'000, 'b'));
    EXPECT_EQ(all.answers, "\x8A\x04ping\x8A\x00"s);
  }
}

TEST(WebSocketDecoder, AnswersClose) {
  for (const auto& [payload, answer] :
       {std::pair{""s, "\x88\x00"s}, {"\x03\xE8"s, "\x88\x02\x03\xE8"s}, {"\x0F\xA0why"s, "\x88\x02\x0F\xA0"s}}) {
    const auto all = read(frame(kFinal | 2, "last") + frame(kFinal | 8, payload) + frame(kFinal | 2, "more"), 5);
    EXPECT_TRUE(all.closed);
    EXPECT_EQ(all.failure, CloseCode::None);
    EXPECT_EQ(all.stream, "last");
    EXPECT_EQ(all.answers, answer);
  }
}

TEST(WebSocketDecoder, FailsWithTheCodeOfTheRule) {
  struct Case {
    std::string bytes;
    CloseCode code;
  };
  const auto protocol = CloseCode::ProtocolError;
  for (const auto& [bytes, code] : {
           Case{"\x82\x01x"s, protocol},                                         // §5.1: not masked
           Case{frame(kFinal | 0x42, "x"), protocol},                            // §5.2: RSV1
           Case{frame(kFinal | 3, "x"), protocol},                               // Opcodes without meaning
           Case{frame(kFinal | 11, "x"), protocol},                              //
           Case{frame(kFinal | 0, "x"), protocol},                               // §5.4: nothing to continue
           Case{frame(0x02, "x") + frame(kFinal | 2, "y"), protocol},            // Something to continue
           Case{frame(0x09, "x"), protocol},                                     // §5.5: fragmented
           Case{frame(kFinal | 9, std::string(126, 'x')), protocol},             // Too long
           Case{"\x82\xFE\x00\x7D\1\2\3\4"s, protocol},                          // §5.2: longer than needed
           Case{"\x82\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF\1\2\3\4"s, protocol},  //
           Case{"\x82\xFF\x80\x00\x00\x00\x00\x00\x00\x00\1\2\3\4"s, protocol},  // The highest bit
           Case{frame(kFinal | 8, "\x03"), protocol},                            // §5.5.1: half a code
           Case{frame(kFinal | 8, "\x03\xED"s), protocol},                       // §7.4.1: 1005 is never sent
           Case{frame(kFinal | 8, "\x00\x00"s), protocol},                       //
           Case{frame(kFinal | 1, "text"), CloseCode::UnsupportedData},          // MQTT 5 [MQTT-6.0.0-1]
       }) {
    for (const std::size_t size : {std::size_t{1}, bytes.size()}) EXPECT_EQ(read(bytes, size).failure, code);
  }
}

TEST(WebSocketEncoder, WritesTheShortestLength) {
  for (const auto& [size, header] : {std::pair{std::uint64_t{0}, "\x82\x00"s},
                                     {125, "\x82\x7D"s},
                                     {126, "\x82\x7E\x00\x7E"s},
                                     {65'535, "\x82\x7E\xFF\xFF"s},
                                     {65'536, "\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00"s}}) {
    std::array<char, kServerHeaderMax> bytes{};
    const auto length = encode_binary_header(size, bytes);
    EXPECT_EQ(std::string(bytes.data(), length), header);
  }
  EXPECT_EQ(close_frame(CloseCode::ProtocolError), "\x88\x02\x03\xEA"s);
}

}  // namespace
}  // namespace parley::net
