#include "broker/cluster/frame.hpp"

#include <algorithm>

#include "base/bytes.hpp"
#include "base/check.hpp"
#include "base/name.hpp"

namespace parley::cluster {
namespace {

constexpr std::string_view kMagic = "PRLY";
constexpr std::size_t kAfterLength = kFrameHeaderSize - sizeof(std::uint32_t);
constexpr std::uint32_t kSlotsMax = 65'536;
constexpr std::uint32_t kFrameMaxMin = 1024;

class FrameCategory final : public boost::system::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "parley.peer"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<FrameError>(value)) {
      case FrameError::TooLarge: return "the frame is larger than is accepted";
      case FrameError::UnknownType: return "the frame's type is unknown";
      case FrameError::Malformed: return "the frame is malformed";
      case FrameError::ForeignMagic: return "what speaks there is no Parley node";
    }
    return "unknown";
  }
};

/// Takes fields off the front; after the first that isn't there everything is empty and `whole()` is false.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : left_(bytes) {}

  template <class Integer>
  Integer number() {
    const std::string_view field = bytes(sizeof(Integer));
    return field.empty() ? Integer{0} : load_big_endian<Integer>(field.data());
  }
  std::string_view bytes(std::size_t count) {
    if (left_.size() < count) missing_ = true;
    if (missing_) return {};
    const std::string_view field = left_.substr(0, count);
    left_.remove_prefix(count);
    return field;
  }
  std::string_view short_text() { return bytes(number<std::uint8_t>()); }
  std::string_view long_text() { return bytes(number<std::uint16_t>()); }

  [[nodiscard]] bool whole() const { return !missing_; }
  [[nodiscard]] bool whole_and_over() const { return !missing_ && left_.empty(); }

 private:
  std::string_view left_;
  bool missing_ = false;
};

bool has_channel(FrameType type) { return type == FrameType::Data || type == FrameType::Credit; }

bool is_known(FrameType type) { return type >= FrameType::Hello && type <= FrameType::Close; }

void append_frame(std::string& to, FrameType type, Channel channel, std::string_view body) {
  const auto header = frame_header(type, channel, body.size());
  to.append(header.data(), header.size()).append(body);
}

bool is_cluster_or_node_name(std::string_view name) { return !name.empty() && name.size() <= kNameSizeMax; }

}  // namespace

boost::system::error_code make_error_code(FrameError error) {
  static const FrameCategory category;
  return {static_cast<int>(error), category};
}

Result<std::optional<Frame>> next_frame(std::string_view bytes, std::size_t body_max) {
  if (bytes.size() < kFrameHeaderSize) return std::optional<Frame>();
  const auto length = load_big_endian<std::uint32_t>(bytes.data());
  const auto type = static_cast<FrameType>(load_big_endian<std::uint8_t>(bytes.data() + 4));
  const auto channel = load_big_endian<std::uint16_t>(bytes.data() + 5);
  if (length < kAfterLength) return FrameError::Malformed;
  const std::size_t body_size = length - kAfterLength;
  if (body_size > body_max) return FrameError::TooLarge;
  if (!is_known(type)) return FrameError::UnknownType;
  if (channel >= (has_channel(type) ? kChannels : 1)) return FrameError::Malformed;
  const std::size_t size = kFrameHeaderSize + body_size;
  if (bytes.size() < size) return std::optional<Frame>();
  return std::optional<Frame>(
      Frame{.type = type, .channel = channel, .body = bytes.substr(kFrameHeaderSize, body_size), .size = size});
}

std::array<char, kFrameHeaderSize> frame_header(FrameType type, Channel channel, std::size_t body_size) {
  PARLEY_CHECK(body_size <= UINT32_MAX - kAfterLength, "a frame's length has 32 bits");
  std::array<char, kFrameHeaderSize> header{};
  store_big_endian(header.data(), static_cast<std::uint32_t>(body_size + kAfterLength));
  store_big_endian(header.data() + 4, static_cast<std::uint8_t>(type));
  store_big_endian(header.data() + 5, channel);
  return header;
}

std::optional<std::uint16_t> common_version(VersionRange one, VersionRange other) {
  const std::uint16_t highest = std::min(one.max, other.max);
  if (highest < one.min || highest < other.min) return std::nullopt;
  return highest;
}

void append_introduction(std::string& to, FrameType type, const Introduction& introduction) {
  PARLEY_CHECK(introduction.nonce.size() == kNonceSize, "a nonce has 32 bytes");
  PARLEY_CHECK(is_cluster_or_node_name(introduction.cluster) && is_cluster_or_node_name(introduction.name),
               "names have 1 to 128 bytes");
  std::string body(kMagic);
  append_big_endian(body, introduction.versions.min);
  append_big_endian(body, introduction.versions.max);
  append_big_endian(body, introduction.node.value);
  append_big_endian(body, introduction.incarnation);
  append_big_endian(body, introduction.slots);
  append_big_endian(body, introduction.clock.milliseconds);
  append_big_endian(body, introduction.frame_max);
  append_big_endian(body, introduction.window);
  body.append(introduction.nonce);
  append_big_endian(body, static_cast<std::uint8_t>(introduction.cluster.size()));
  body.append(introduction.cluster);
  append_big_endian(body, static_cast<std::uint8_t>(introduction.name.size()));
  body.append(introduction.name);
  append_big_endian(body, introduction.birth);
  append_frame(to, type, 0, body);
}

void append_proof(std::string& to, std::string_view proof) { append_frame(to, FrameType::Proof, 0, proof); }

void append_welcome(std::string& to, const Welcome& welcome) {
  std::string body;
  append_big_endian(body, welcome.version);
  body.append(welcome.proof);
  append_frame(to, FrameType::Welcome, 0, body);
}

void append_refusal(std::string& to, const Refusal& refusal) {
  const std::string_view sentence = refusal.sentence.substr(0, kSentenceMax);
  std::string body;
  append_big_endian(body, static_cast<std::uint8_t>(refusal.code));
  append_big_endian(body, static_cast<std::uint16_t>(sentence.size()));
  body.append(sentence);
  append_frame(to, FrameType::Refuse, 0, body);
}

void append_heartbeat(std::string& to, const Heartbeat& heartbeat) {
  std::string body;
  append_big_endian(body, heartbeat.sent);
  append_big_endian(body, heartbeat.echo);
  append_big_endian(body, heartbeat.held);
  append_frame(to, FrameType::Heartbeat, 0, body);
}

void append_credit(std::string& to, Channel channel, std::uint32_t bytes) {
  std::string body;
  append_big_endian(body, bytes);
  append_frame(to, FrameType::Credit, channel, body);
}

void append_close(std::string& to, std::string_view sentence) {
  sentence = sentence.substr(0, kSentenceMax);
  std::string body;
  append_big_endian(body, static_cast<std::uint16_t>(sentence.size()));
  body.append(sentence);
  append_frame(to, FrameType::Close, 0, body);
}

Result<Introduction> decode_introduction(std::string_view body) {
  Fields fields(body);
  const std::string_view magic = fields.bytes(kMagic.size());
  if (!fields.whole()) return FrameError::Malformed;
  if (magic != kMagic) return FrameError::ForeignMagic;
  Introduction introduction;
  introduction.versions.min = fields.number<std::uint16_t>();
  introduction.versions.max = fields.number<std::uint16_t>();
  introduction.node = {fields.number<std::uint64_t>()};
  introduction.incarnation = fields.number<std::uint64_t>();
  introduction.slots = fields.number<std::uint32_t>();
  introduction.clock = {fields.number<std::uint64_t>()};
  introduction.frame_max = fields.number<std::uint32_t>();
  introduction.window = fields.number<std::uint32_t>();
  introduction.nonce = fields.bytes(kNonceSize);
  introduction.cluster = fields.short_text();
  introduction.name = fields.short_text();
  introduction.birth = fields.number<std::uint64_t>();
  if (!fields.whole()) return FrameError::Malformed;  // What follows is a newer version's, and covered by its proof.
  const bool valid = introduction.versions.min >= 1 && introduction.versions.min <= introduction.versions.max &&
                     introduction.node != NodeId{} && introduction.incarnation != 0 && introduction.birth != 0 &&
                     introduction.slots >= 1 && introduction.slots <= kSlotsMax &&
                     introduction.frame_max >= kFrameMaxMin &&
                     introduction.window >= introduction.frame_max + kFrameHeaderSize &&
                     is_cluster_or_node_name(introduction.cluster) && is_cluster_or_node_name(introduction.name) &&
                     introduction.clock.milliseconds <= static_cast<std::uint64_t>(INT64_MAX);
  if (!valid) return FrameError::Malformed;
  return introduction;
}

Result<std::string_view> decode_proof(std::string_view body) {
  if (body.size() != kProofSize) return FrameError::Malformed;
  return body;
}

Result<Welcome> decode_welcome(std::string_view body) {
  Fields fields(body);
  Welcome welcome;
  welcome.version = fields.number<std::uint16_t>();
  welcome.proof = fields.bytes(kProofSize);
  if (!fields.whole_and_over() || welcome.version == 0) return FrameError::Malformed;
  return welcome;
}

Result<Refusal> decode_refusal(std::string_view body) {
  Fields fields(body);
  Refusal refusal;
  refusal.code = static_cast<RefuseCode>(fields.number<std::uint8_t>());
  refusal.sentence = fields.long_text();
  // A code that is newer than this node stays a number; its sentence is what counts.
  if (!fields.whole_and_over() || refusal.sentence.size() > kSentenceMax) return FrameError::Malformed;
  return refusal;
}

Result<Heartbeat> decode_heartbeat(std::string_view body) {
  Fields fields(body);
  Heartbeat heartbeat;
  heartbeat.sent = fields.number<std::uint64_t>();
  heartbeat.echo = fields.number<std::uint64_t>();
  heartbeat.held = fields.number<std::uint64_t>();
  if (!fields.whole_and_over()) return FrameError::Malformed;
  return heartbeat;
}

Result<std::uint32_t> decode_credit(std::string_view body) {
  Fields fields(body);
  const auto bytes = fields.number<std::uint32_t>();
  if (!fields.whole_and_over() || bytes == 0) return FrameError::Malformed;
  return bytes;
}

Result<std::string_view> decode_close(std::string_view body) {
  Fields fields(body);
  const std::string_view sentence = fields.long_text();
  if (!fields.whole_and_over() || sentence.size() > kSentenceMax) return FrameError::Malformed;
  return sentence;
}

}  // namespace parley::cluster
