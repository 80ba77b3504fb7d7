#include "broker/replication/messages_codec.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "base/check.hpp"
#include "base/varint.hpp"
#include "base/varint_reader.hpp"

/// Each message's fields stand once, in its describe(), which the writer and the reader both follow.
namespace parley::replication {
namespace {

/// Positions and terms are far below this, so that adding two of them can't overflow.
constexpr std::uint64_t kNumberMax = (std::uint64_t{1} << 62) - 1;
/// Times and incarnations use all bits.
struct Opaque {};

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void integer(std::uint64_t value) { append_varint(out_, value); }
  void operator()(std::uint64_t value) { integer(value); }
  void operator()(std::uint64_t value, Opaque) { integer(value); }
  template <class Tag>
  void operator()(Number<Tag> number) {
    integer(number.value);
  }
  void operator()(bool flag) { integer(flag ? 1 : 0); }
  template <class T>
  void operator()(const std::optional<T>& value) {
    (*this)(value.has_value());
    if (value) (*this)(*value);
  }
  template <class T>
  void operator()(const std::vector<T>& values) {
    integer(values.size());
    for (const T& value : values) (*this)(value);
  }
  template <class T>
  void operator()(const T& message) {
    describe(*this, message);
  }
  void rest(std::string_view bytes) { out_.append(bytes); }

 private:
  std::string& out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : in_(bytes) {}

  std::uint64_t integer() { return in_.number(); }
  void operator()(std::uint64_t& value) { value = in_.number(kNumberMax); }
  void operator()(std::uint64_t& value, Opaque) { value = integer(); }
  template <class Tag>
  void operator()(Number<Tag>& number) {
    (*this)(number.value);
  }
  void operator()(NodeId& node) { node.value = integer(); }  // A hash: it uses all bits.
  void operator()(bool& flag) { flag = in_.flag(); }
  template <class T>
  void operator()(std::optional<T>& value) {
    bool there = false;
    (*this)(there);
    if (there) (*this)(value.emplace());
  }
  template <class T>
  void operator()(std::vector<T>& values) {
    values.resize(in_.count());
    for (T& value : values) (*this)(value);
  }
  template <class T>
  void operator()(T& message) {
    describe(*this, message);
  }
  void rest(std::string_view& bytes) { bytes = in_.take_rest(); }

  std::string_view text(std::uint64_t size) { return in_.bytes(size); }
  [[nodiscard]] bool empty() const { return in_.empty(); }
  [[nodiscard]] bool complete() const { return in_.complete(); }

 private:
  VarintReader in_;
};

template <class Of, class T>
concept Is = std::same_as<std::remove_const_t<Of>, T>;

void describe(auto& io, Is<LogPosition> auto& position) {
  io(position.term);
  io(position.index);
}
void describe(auto& io, Is<ReplicaSet> auto& set) {
  io(set.voters);
  io(set.learners);
}
void describe(auto& io, Is<Leading> auto& leading) {
  io(leading.slot);
  io(leading.term);
}
void describe(auto& io, Is<AppendEntries> auto& message) {
  io(message.prev);
  io(message.entries_term);
  io(message.count);
  io(message.commit);
  io(message.replicas);
  io.rest(message.records);
}
void describe(auto& io, Is<AppendEntriesReply> auto& message) {
  io(message.success);
  io(message.match);
  io(message.received);
  io(message.commit);
  io(message.hint);
}
void describe(auto& io, Is<RequestVote> auto& message) {
  io(message.last);
  io(message.transfer);
}
void describe(auto& io, Is<RequestVoteReply> auto& message) { io(message.granted); }
void describe(auto& io, Is<PreVote> auto& message) { io(message.last); }
void describe(auto& io, Is<PreVoteReply> auto& message) { io(message.granted); }
void describe(auto& /*io*/, Is<TimeoutNow> auto& /*message*/) {}
void describe(auto& io, Is<CommitHint> auto& message) { io(message.commit); }
void describe(auto& io, Is<Heartbeat> auto& message) {
  io(message.incarnation, Opaque{});
  io(message.sent, Opaque{});
  io(message.peer_incarnation, Opaque{});
  io(message.echo, Opaque{});
  io(message.version);
  io(message.peer_version);
  io(message.leading);
}

/// Fields that fit each other; each message without a rule takes any.
template <class T>
bool sound(const T& /*message*/) {
  return true;
}
bool sound(const AppendEntries& message) {
  if (message.replicas && (message.count != 1 || !message.replicas->valid())) return false;
  if (message.count == 0) return message.entries_term == Term{} && message.records.empty();
  if (message.entries_term < message.prev.term || message.entries_term == Term{}) return false;
  Reader records(message.records);
  for (std::uint64_t i = 0; i < message.count; ++i) {
    if (records.empty()) return false;
    records.text(records.integer());
  }
  return records.complete();
}
bool sound(const AppendEntriesReply& message) {
  return message.success ? message.match <= message.received && message.hint == LogPosition{}
                         : message.match == Index{};
}
bool sound(const Heartbeat& message) {
  if (message.incarnation == 0) return false;
  if (!message.leading) return true;
  for (std::size_t i = 1; i < message.leading->size(); ++i) {
    if ((*message.leading)[i - 1].slot >= (*message.leading)[i].slot) return false;
  }
  return true;
}

/// The first byte: version and kind. A peer message's kind is its body's place in the variant, from 1 on.
constexpr std::uint8_t kHeartbeatKind = 0;
constexpr char first_byte(std::size_t kind) { return static_cast<char>(kMessageVersion << 4 | kind); }

template <class Body>
bool read_body(Reader& reader, PeerMessage::Body& body) {
  Body& message = body.emplace<Body>();
  describe(reader, message);
  return reader.complete() && sound(message);
}
using ReadBody = bool (*)(Reader&, PeerMessage::Body&);

template <class... Bodies>
constexpr std::array<ReadBody, sizeof...(Bodies)> readers_of(const std::variant<Bodies...>* /*types*/) {
  return {&read_body<Bodies>...};
}
constexpr auto kReaders = readers_of(static_cast<const PeerMessage::Body*>(nullptr));
static_assert(kReaders.size() < 0x10, "a kind has four bits");

}  // namespace

void encode(const PeerMessage& message, std::string& out) {
  Writer writer(out);
  out.push_back(first_byte(message.body.index() + 1));
  writer(message.slot);
  writer(message.term);
  std::visit([&](const auto& body) { describe(writer, body); }, message.body);
}

void encode(const Heartbeat& heartbeat, std::string& out) {
  Writer writer(out);
  out.push_back(first_byte(kHeartbeatKind));
  describe(writer, heartbeat);
}

Result<Message> decode(std::string_view bytes) {
  if (bytes.empty()) return ReplicationError::MalformedMessage;
  const auto head = static_cast<unsigned char>(bytes.front());
  const unsigned version = head >> 4;
  const unsigned kind = head & 0x0FU;
  if (version > kMessageVersion) return ReplicationError::NewerProtocol;
  if (version < kMessageVersion || kind > kReaders.size()) return ReplicationError::MalformedMessage;
  Reader reader(bytes.substr(1));
  if (kind == kHeartbeatKind) {
    Heartbeat heartbeat;
    describe(reader, heartbeat);
    if (!reader.complete() || !sound(heartbeat)) return ReplicationError::MalformedMessage;
    return Message(std::move(heartbeat));
  }
  PeerMessage message;
  reader(message.slot);
  reader(message.term);
  if (!kReaders[kind - 1](reader, message.body)) return ReplicationError::MalformedMessage;
  return Message(std::move(message));
}

void append_record_length(std::string& out, std::size_t length) { Writer(out).integer(length); }

void append_record(std::string& out, std::string_view record) {
  append_record_length(out, record.size());
  out.append(record);
}

std::string_view next_record(std::string_view& records) {
  PARLEY_CHECK(!records.empty(), "a message has fewer records than it counted");
  Reader reader(records);
  const auto record = reader.text(reader.integer());
  reader.rest(records);
  return record;
}

}  // namespace parley::replication
