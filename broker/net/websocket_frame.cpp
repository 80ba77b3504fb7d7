#include "broker/net/websocket_frame.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.hpp"

namespace parley::net {
namespace {

constexpr std::size_t kControlMax = 125;  ///< §5.5.
constexpr std::uint8_t kFinal = 0x80;
constexpr std::uint8_t kMasked = 0x80;

/// Codes that may stand in a Close frame. §7.4.
bool may_be_sent(std::uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

void append_control(std::string& to, std::uint8_t opcode, std::string_view payload) {
  to.push_back(static_cast<char>(kFinal | opcode));
  to.push_back(static_cast<char>(payload.size()));
  to.append(payload);
}

std::string code_bytes(std::uint16_t code) { return {static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)}; }

}  // namespace

/// As far as what is there of it tells.
std::size_t WebSocketDecoder::header_size() const {
  if (header_have_ < 2) return 2;
  const unsigned length = header_[1] & 0x7FU;
  const std::size_t mask = (header_[1] & kMasked) != 0 ? 4 : 0;
  return 2 + mask + (length == 126 ? 2 : length == 127 ? 8 : 0);
}

/// The header is whole: sets what the payload needs, or fails.
WebSocketDecoder::Outcome WebSocketDecoder::begin_frame() {
  const auto fail = [](CloseCode code, std::string_view why) {
    return Outcome{.payload = 0, .failure = code, .why = why, .closed = false};
  };
  const auto opcode = static_cast<Opcode>(header_[0] & 0x0F);
  const bool final = (header_[0] & kFinal) != 0;
  if ((header_[0] & 0x70) != 0) return fail(CloseCode::ProtocolError, "a reserved bit is set");
  if ((header_[1] & kMasked) == 0) return fail(CloseCode::ProtocolError, "a frame is not masked");
  const unsigned length = header_[1] & 0x7FU;
  left_ = length;
  if (length >= 126) {
    const std::size_t bytes = length == 126 ? 2 : 8;
    left_ = 0;
    for (std::size_t i = 0; i < bytes; ++i) left_ = left_ << 8 | header_[2 + i];
    const bool longer_than_needed = length == 126 ? left_ < 126 : left_ < 65'536;
    if (longer_than_needed || left_ >> 63 != 0) return fail(CloseCode::ProtocolError, "a length is malformed");
  }
  switch (opcode) {
    case Opcode::Close:
    case Opcode::Ping:
    case Opcode::Pong:
      if (!final || left_ > kControlMax) return fail(CloseCode::ProtocolError, "a control frame is malformed");
      break;
    case Opcode::Text: return fail(CloseCode::UnsupportedData, "a text frame has come");  // MQTT 5 [MQTT-6.0.0-1]
    case Opcode::Binary:
    case Opcode::Continuation:
      if ((opcode == Opcode::Continuation) != in_message_) {
        return fail(CloseCode::ProtocolError, "the fragments are in disorder");
      }
      in_message_ = !final;
      break;
    default: return fail(CloseCode::ProtocolError, "an opcode is unknown");
  }
  in_payload_ = true;
  mask_at_ = 0;
  return {};
}

/// As much of `bytes` as belongs to the frame.
std::size_t WebSocketDecoder::unmask(std::span<char> bytes) {
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
  const std::uint8_t* mask = header_.data() + header_size() - 4;
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<char>(static_cast<std::uint8_t>(bytes[i]) ^ mask[(mask_at_ + i) % 4]);
  }
  mask_at_ = static_cast<std::uint8_t>((mask_at_ + size) % 4);
  left_ -= size;
  return size;
}

void WebSocketDecoder::finish_control(Outcome& outcome, std::string& answers) {
  const auto opcode = static_cast<Opcode>(header_[0] & 0x0F);
  const std::string payload = std::exchange(control_, {});
  if (opcode == Opcode::Ping) append_control(answers, 0x0A, payload);
  if (opcode != Opcode::Close) return;
  outcome.closed = true;
  if (payload.empty()) return append_control(answers, 0x08, {});
  if (payload.size() == 1 || !may_be_sent(load_big_endian<std::uint16_t>(payload.data()))) {
    outcome.failure = CloseCode::ProtocolError;
    outcome.why = "a close code is malformed";
    return;
  }
  append_control(answers, 0x08, std::string_view(payload).substr(0, 2));
}

WebSocketDecoder::Outcome WebSocketDecoder::decode(std::span<char> bytes, std::string& answers) {
  Outcome outcome;
  std::size_t at = 0;
  while (at < bytes.size() || (in_payload_ && left_ == 0)) {
    if (!in_payload_) {
      header_[header_have_++] = static_cast<std::uint8_t>(bytes[at++]);
      if (header_have_ < header_size()) continue;
      const Outcome begun = begin_frame();
      if (begun.failure != CloseCode::None) {
        outcome.failure = begun.failure;
        outcome.why = begun.why;
        return outcome;
      }
    }
    const auto rest = bytes.subspan(at);
    const std::size_t size = unmask(rest);
    if (is_control()) {
      control_.append(rest.data(), size);
    } else if (size != 0) {
      std::memmove(bytes.data() + outcome.payload, rest.data(), size);
      outcome.payload += size;
    }
    at += size;
    if (left_ != 0) continue;
    in_payload_ = false;
    if (is_control()) finish_control(outcome, answers);
    header_have_ = 0;
    if (outcome.closed) return outcome;
  }
  return outcome;
}

std::size_t encode_binary_header(std::uint64_t size, std::array<char, kServerHeaderMax>& header) {
  header[0] = static_cast<char>(kFinal | 0x02);
  if (size < 126) {
    header[1] = static_cast<char>(size);
    return 2;
  }
  const std::size_t bytes = size < 65'536 ? 2 : 8;
  header[1] = static_cast<char>(bytes == 2 ? 126 : 127);
  for (std::size_t i = 0; i < bytes; ++i) header[2 + i] = static_cast<char>(size >> 8 * (bytes - 1 - i) & 0xFF);
  return 2 + bytes;
}

std::string close_frame(CloseCode code) {
  std::string frame;
  append_control(frame, 0x08, code_bytes(static_cast<std::uint16_t>(code)));
  return frame;
}

}  // namespace parley::net
