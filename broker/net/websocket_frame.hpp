#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// WebSocket frames, RFC 6455 §5, as MQTT uses them (MQTT 5 §6): the payloads of the client's binary frames are one
/// stream of bytes, however it is cut into frames and fragments. Pure; any thread.
namespace parley::net {

/// RFC 6455 §7.4.1. Zero: none.
enum class CloseCode : std::uint16_t {
  None = 0,
  Normal = 1000,
  ProtocolError = 1002,
  UnsupportedData = 1003,
};

/// What a client sends, as it comes. Holds no payload but that of a control frame that isn't whole yet: a data frame's
/// length makes nobody allocate, and is bounded by what MQTT allows a packet.
class WebSocketDecoder {
 public:
  struct Outcome {
    std::size_t payload = 0;              ///< Bytes of the stream, now at the front of what was handed in.
    CloseCode failure = CloseCode::None;  ///< The connection must be failed with this code; nothing more is read.
    std::string_view why;                 ///< Of a failure.
    bool closed = false;                  ///< The client has sent Close; nothing more is read.
  };
  /// Reads all of `bytes`, unmasks in place. What must be answered (Pong, and Close to a Close) is appended to
  /// `answers`, frames ready to be sent.
  Outcome decode(std::span<char> bytes, std::string& answers);

 private:
  enum class Opcode : std::uint8_t { Continuation = 0, Text = 1, Binary = 2, Close = 8, Ping = 9, Pong = 10 };

  /// Two bytes, the longest length, the mask. §5.2.
  static constexpr std::size_t kHeaderMax = 14;

  [[nodiscard]] std::size_t header_size() const;
  Outcome begin_frame();
  void finish_control(Outcome& outcome, std::string& answers);
  std::size_t unmask(std::span<char> bytes);
  [[nodiscard]] bool is_control() const { return (header_[0] & 0x08) != 0; }

  std::uint64_t left_ = 0;  ///< Payload bytes of the frame that haven't come.
  std::string control_;     ///< Payload of a control frame so far.
  std::array<std::uint8_t, kHeaderMax> header_{};
  std::uint8_t header_have_ = 0;
  std::uint8_t mask_at_ = 0;
  bool in_payload_ = false;
  bool in_message_ = false;  ///< Between the fragments of a message.
};

/// The header of a server's unmasked binary frame with `size` bytes; the length of the header.
constexpr std::size_t kServerHeaderMax = 10;
std::size_t encode_binary_header(std::uint64_t size, std::array<char, kServerHeaderMax>& header);
/// A whole Close frame.
std::string close_frame(CloseCode code);

}  // namespace parley::net
