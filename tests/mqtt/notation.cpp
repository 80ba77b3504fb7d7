#include "tests/mqtt/notation.hpp"

#include <array>
#include <deque>
#include <ostream>
#include <sstream>
#include <stdexcept>

namespace parley::mqtt {
namespace {

unsigned digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  throw std::invalid_argument(std::string("no hexadecimal digit: ") + c);
}

/// One line a field.
class Description {
 public:
  void field(std::string_view name, std::string_view value) { text_ << name << "=" << value << "\n"; }
  void number(std::string_view name, std::size_t value) { field(name, std::to_string(value)); }
  void bytes(std::string_view name, std::string_view value) { field(name, "[" + hex(value) + "]"); }
  void reason(ReasonCode code) { number("reason", static_cast<std::size_t>(code)); }

  void operator()(const Connect& packet) {
    field("packet", "CONNECT");
    number("version", static_cast<std::size_t>(packet.version));
    number("is_bridge", packet.is_bridge ? 1 : 0);
    number("clean_start", packet.clean_start ? 1 : 0);
    number("keep_alive", packet.keep_alive);
    bytes("client_id", packet.client_id);
    if (packet.will) {
      number("will.qos", static_cast<std::size_t>(packet.will->qos));
      number("will.retain", packet.will->retain ? 1 : 0);
      bytes("will.topic", packet.will->topic);
      bytes("will.payload", packet.will->payload);
      bytes("will.properties", packet.will->properties.bytes());
    }
    if (packet.user_name) bytes("user_name", *packet.user_name);
    if (packet.password) bytes("password", *packet.password);
    bytes("properties", packet.properties.bytes());
  }
  void operator()(const Connack& packet) {
    field("packet", "CONNACK");
    number("session_present", packet.session_present ? 1 : 0);
    reason(packet.reason);
    bytes("properties", packet.properties.bytes());
  }
  void operator()(const Publish& packet) {
    field("packet", "PUBLISH");
    number("dup", packet.dup ? 1 : 0);
    number("qos", static_cast<std::size_t>(packet.qos));
    number("retain", packet.retain ? 1 : 0);
    bytes("topic", packet.topic);
    number("packet_id", packet.packet_id);
    bytes("properties", packet.properties.bytes());
    bytes("payload", packet.payload);
  }
  void operator()(const Ack& packet) {
    field("packet", name_of(packet.type));
    number("packet_id", packet.packet_id);
    reason(packet.reason);
    bytes("properties", packet.properties.bytes());
  }
  void operator()(const Subscribe& packet) {
    field("packet", "SUBSCRIBE");
    number("packet_id", packet.packet_id);
    bytes("properties", packet.properties.bytes());
    for (const auto& item : packet.items) {
      bytes("filter", item.filter);
      number("qos", static_cast<std::size_t>(item.options.qos));
      number("no_local", item.options.no_local ? 1 : 0);
      number("retain_as_published", item.options.retain_as_published ? 1 : 0);
      number("retain_handling", item.options.retain_handling);
    }
  }
  void operator()(const Suback& packet) { reasons("SUBACK", packet); }
  void operator()(const Unsuback& packet) { reasons("UNSUBACK", packet); }
  void operator()(const Unsubscribe& packet) {
    field("packet", "UNSUBSCRIBE");
    number("packet_id", packet.packet_id);
    bytes("properties", packet.properties.bytes());
    for (const auto filter : packet.filters) bytes("filter", filter);
  }
  void operator()(const Pingreq& /*packet*/) { field("packet", "PINGREQ"); }
  void operator()(const Pingresp& /*packet*/) { field("packet", "PINGRESP"); }
  void operator()(const Disconnect& packet) {
    field("packet", "DISCONNECT");
    reason(packet.reason);
    bytes("properties", packet.properties.bytes());
  }
  void operator()(const Auth& packet) {
    field("packet", "AUTH");
    reason(packet.reason);
    bytes("properties", packet.properties.bytes());
  }

  [[nodiscard]] std::string text() const { return text_.str(); }

 private:
  template <class T>
  void reasons(std::string_view name, const T& packet) {
    field("packet", name);
    number("packet_id", packet.packet_id);
    bytes("properties", packet.properties.bytes());
    for (const auto code : packet.reasons) reason(code);
  }
  std::ostringstream text_;
};

}  // namespace

std::string bytes(std::string_view notation) {
  std::string result;
  for (std::size_t i = 0; i < notation.size();) {
    if (notation[i] == ' ') {
      ++i;
    } else if (notation[i] == '\'') {
      const auto end = notation.find('\'', i + 1);
      if (end == std::string_view::npos) throw std::invalid_argument("text without an end");
      result.append(notation.substr(i + 1, end - i - 1));
      i = end + 1;
    } else {
      if (i + 1 >= notation.size()) throw std::invalid_argument("half a byte");
      result.push_back(static_cast<char>(digit(notation[i]) << 4 | digit(notation[i + 1])));
      i += 2;
    }
  }
  return result;
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (!text.empty()) text.push_back(' ');
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

Properties properties(std::string_view notation) {
  static std::deque<std::string> lists;
  return Properties::trusted(lists.emplace_back(bytes(notation)));
}

std::string content(const Output& output) {
  std::string bytes;
  std::array<iovec, 1024> pieces;
  const std::size_t count = output.gather(pieces);
  for (std::size_t i = 0; i < count; ++i) bytes.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  return bytes;
}

std::string encoded(const Packet& packet, ProtocolVersion version) {
  Output output;
  encode(output, packet, version);
  return content(output);
}

Result<Packet> decoded(std::string_view bytes, ProtocolVersion version, const DecodeLimits& limits) {
  PARLEY_TRY(const auto frame, next_frame(bytes, limits));
  if (!frame || frame->size != bytes.size()) return ReasonCode::MalformedPacket;
  return decode(*frame, version, limits);
}

ReasonCode refusal(std::string_view bytes, ProtocolVersion version, const DecodeLimits& limits) {
  const auto packet = decoded(bytes, version, limits);
  return packet ? ReasonCode::Success : reason_of(packet.error());
}

std::string describe(const Packet& packet) {
  Description description;
  std::visit(description, packet);
  return description.text();
}

void PrintTo(ReasonCode code, std::ostream* to) { *to << name_of(code) << " (" << static_cast<int>(code) << ")"; }
void PrintTo(PacketType type, std::ostream* to) { *to << name_of(type); }
void PrintTo(ProtocolVersion version, std::ostream* to) { *to << "level " << static_cast<int>(version); }

}  // namespace parley::mqtt
