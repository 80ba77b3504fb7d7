#include "broker/shard/node_events.hpp"

#include <array>
#include <concepts>
#include <type_traits>
#include <utility>

#include "base/varint.hpp"
#include "base/varint_reader.hpp"

/// Each event's fields stand once, in its describe(), which the writer and the reader both follow.
namespace parley::shard::remote {
namespace {

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void operator()(std::uint64_t value) { append_varint(out_, value); }
  void operator()(bool flag) { append_varint(out_, flag ? 1 : 0); }
  void operator()(Timestamp time) { append_varint(out_, time.milliseconds); }
  void operator()(std::string_view text) {
    append_varint(out_, text.size());
    out_.append(text);
  }
  template <class Tag>
  void operator()(Number<Tag> number) {
    append_varint(out_, number.value);
  }
  template <class T>
  void operator()(const std::vector<T>& values) {
    append_varint(out_, values.size());
    for (const T& value : values) (*this)(value);
  }
  void operator()(const Claimed::Cursor& cursor) {
    (*this)(cursor.topic);
    (*this)(cursor.epoch);
    (*this)(cursor.acknowledged);
  }
  void operator()(const Marks& marks) {
    (*this)(marks.user);
    (*this)(marks.read);
    (*this)(marks.delivered);
  }
  void operator()(const UserConversations::One& one) {
    (*this)(one.number);
    (*this)(one.name);
    (*this)(one.epoch);
    (*this)(one.present);
    (*this)(one.changed);
  }
  /// A last field, which isn't there where it is 0.
  void last(std::uint64_t value) {
    if (value != 0) append_varint(out_, value);
  }
  /// `first` and `last`: what the enum has.
  template <class E>
  void choice(E value, E /*first*/, E /*last*/) {
    append_varint(out_, static_cast<std::uint64_t>(value));
  }

 private:
  std::string& out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : in_(bytes) {}

  void operator()(std::uint64_t& value) { value = in_.number(); }
  void operator()(bool& flag) { flag = in_.flag(); }
  void operator()(Timestamp& time) { (*this)(time.milliseconds); }
  void operator()(std::string_view& text) { text = in_.text(); }
  template <class Tag>
  void operator()(Number<Tag>& number) {
    (*this)(number.value);
  }
  template <class T>
  void operator()(std::vector<T>& values) {
    for (std::uint64_t count = in_.count(); count > 0 && in_.sound(); --count) (*this)(values.emplace_back());
  }
  void operator()(Claimed::Cursor& cursor) {
    (*this)(cursor.topic);
    (*this)(cursor.epoch);
    (*this)(cursor.acknowledged);
  }
  void operator()(Marks& marks) {
    (*this)(marks.user);
    (*this)(marks.read);
    (*this)(marks.delivered);
  }
  void operator()(UserConversations::One& one) {
    (*this)(one.number);
    (*this)(one.name);
    (*this)(one.epoch);
    (*this)(one.present);
    (*this)(one.changed);
  }
  void last(std::uint64_t& value) {
    if (in_.empty()) return;
    value = in_.number();
    if (value == 0) in_.fail();
  }
  template <class E>
  void choice(E& value, E first, E last) {
    const std::uint64_t number = in_.number(static_cast<std::uint64_t>(last));
    if (number < static_cast<std::uint64_t>(first)) return in_.fail();
    value = static_cast<E>(number);
  }
  [[nodiscard]] bool complete() const { return in_.complete(); }

 private:
  VarintReader in_;
};

template <class Of, class T>
concept Is = std::same_as<std::remove_const_t<Of>, T>;

void describe_status(auto& io, auto& event) { io.choice(event.status, Status::Done, Status::Failed); }
void describe_refusal(auto& io, auto& event) { io.choice(event.refusal, chat::Refusal::None, chat::Refusal::Rate); }

void describe(auto& io, Is<Propose> auto& event) {
  io(event.stream);
  io(event.number);
  io(event.conversation);
  io.choice(event.kind, format::EntryKind::Message, format::EntryKind::Settings);
  io(event.id_from_client);
  io(event.from);
  io(event.id);
  io(event.properties);
  io(event.payload);
  io.choice(event.purpose, std::uint64_t{0}, std::uint64_t{3});
  io.last(event.publisher);
}
void describe(auto& io, Is<Proposed> auto& event) {
  io(event.slot);
  io(event.stream);
  io(event.number);
  describe_status(io, event);
  describe_refusal(io, event);
  io(event.seq);
  io(event.ts);
  io(event.id);
  io(event.duplicate);
  io(event.detail);
}
void describe(auto& io, Is<Follow> auto& event) {
  io(event.follow);
  io(event.conversation);
}
void describe(auto& io, Is<Unfollow> auto& event) {
  io(event.follow);
  io(event.conversation);
}
void describe(auto& io, Is<Followed> auto& event) {
  io(event.follow);
  io(event.conversation);
  describe_status(io, event);
  describe_refusal(io, event);
  io(event.number);
  io(event.epoch);
  io(event.oldest);
  io(event.head);
  io.choice(event.type, format::ConversationType::Direct, format::ConversationType::Group);
  io.choice(event.visibility, format::Visibility::Public, format::Visibility::Private);
  io(event.last_ts);
}
void describe(auto& io, Is<Committed> auto& event) {
  io(event.follow);
  io(event.conversation);
  io(event.records);
}
void describe(auto& io, Is<Read> auto& event) {
  io(event.token);
  io(event.conversation);
  io(event.first);
  io(event.last);
  io(event.entries_max);
  io(event.bytes_max);
}
void describe(auto& io, Is<Page> auto& event) {
  io(event.slot);
  io(event.token);
  describe_status(io, event);
  io(event.corrupt);
  io(event.records);
}
void describe(auto& io, Is<Claim> auto& event) {
  io(event.slot);
  io(event.token);
  io(event.client_id);
  io(event.user);
  io(event.held);
}
void describe(auto& io, Is<Claimed> auto& event) {
  io(event.slot);
  io(event.token);
  describe_status(io, event);
  io(event.generation);
  io(event.present);
  io(event.user);
  io(event.expiry_interval);
  io(event.disconnected);
  io(event.state);
  io(event.cursors);
}
template <class Event>
concept NamesSession = Is<Event, Yield> || Is<Event, Yielded> || Is<Event, Hold>;
void describe(auto& io, NamesSession auto& event) {
  io(event.slot);
  io(event.client_id);
  io(event.generation);
}
void describe(auto& io, Is<Left> auto& event) {
  io(event.slot);
  io(event.client_id);
  io(event.generation);
  io(event.away);
}
void describe(auto& io, Is<Settled> auto& event) {
  io(event.slot);
  io(event.client_id);
  io(event.generation);
  io(event.ended);
}
void describe(auto& io, Is<Write> auto& event) {
  io(event.slot);
  io(event.stream);
  io(event.number);
  io(event.generation);
  io(event.client_id);
  io(event.records);
}
void describe(auto& io, Is<Written> auto& event) {
  io(event.slot);
  io(event.stream);
  io(event.number);
  describe_status(io, event);
}
void describe(auto& io, Is<Filters> auto& event) {
  io(event.token);
  io(event.replaces);
  io(event.added);
  io(event.removed);
}
void describe(auto& io, Is<FiltersTaken> auto& event) { io(event.token); }
void describe(auto& io, Is<Group> auto& event) {
  io(event.group);
  io(event.filter);
  io(event.members);
}
void describe(auto& io, Is<Message> auto& event) {
  io(event.shard);
  io(event.stream);
  io(event.number);
  io(event.subscribers);
  io(event.group);
  io(event.filter);
  io(event.topic);
  io(event.properties);
  io(event.payload);
  io.choice(event.qos, std::uint64_t{0}, std::uint64_t{2});
  io(event.retain);
  io(event.expires_in);
  io(event.stamp);
  io(event.stamp_node);
  io.last(event.publisher);
}
void describe(auto& io, Is<MessageTaken> auto& event) {
  io(event.stream);
  io(event.number);
  io(event.refused);
}

void describe(auto& io, Is<Access> auto& event) {
  io(event.token);
  io(event.conversation);
  io(event.user);
  io(event.marks);
}
void describe(auto& io, Is<Accessed> auto& event) {
  io(event.slot);
  io(event.token);
  describe_status(io, event);
  describe_refusal(io, event);
  io(event.visible_from);
  io(event.marks);
}
void describe(auto& io, Is<Notice> auto& event) {
  io(event.follow);
  io(event.conversation);
  io(event.typing);
  io(event.marks);
}
void describe(auto& io, Is<Delivered> auto& event) {
  io(event.conversation);
  io(event.marks);
}

void describe(auto& io, Is<PresenceReport> auto& event) {
  io(event.user);
  io(event.devices);
  io(event.has_grace);
  io(event.grace);
  io(event.has_status);
  io(event.status);
  io(event.status_at);
  io(event.has_parting);
  io(event.parting);
}
void describe(auto& io, Is<PresenceFollow> auto& event) {
  io(event.user);
  io(event.wanted);
}
void describe(auto& io, Is<PresenceRecheck> auto& event) { io(event.user); }
void describe(auto& io, Is<PresenceShown> auto& event) {
  io(event.user);
  io(event.online);
  io(event.devices);
  io(event.since);
  io(event.status);
}
void describe(auto& io, Is<PresenceAsk> auto& event) {
  io(event.asker);
  io(event.target);
  io(event.conversations);
  io(event.asks_target);
  io(event.node);
  io(event.shard);
  io(event.token);
}
void describe(auto& io, Is<PresenceAnswer> auto& event) {
  io(event.token);
  describe_refusal(io, event);
}
void describe(auto& io, Is<OnlineAsk> auto& event) {
  io(event.slot);
  io(event.users);
  io(event.node);
  io(event.shard);
  io(event.token);
}
void describe(auto& io, Is<OnlineAnswer> auto& event) {
  io(event.token);
  io(event.asked);
  io(event.online);
}

void describe(auto& io, Is<ClientAsk> auto& event) {
  io(event.slot);
  io(event.client_id);
  io(event.kick);
  io(event.reason);
  io(event.shard);
  io(event.token);
}
void describe(auto& io, Is<ClientAnswer> auto& event) {
  io(event.token);
  io(event.found);
  io(event.client_id);
  io(event.user);
  io(event.address);
  io(event.transport);
  io(event.version);
  io(event.seconds);
  io(event.subscriptions);
  io(event.under_way);
  io(event.queued);
  io(event.expiry);
}
void describe(auto& io, Is<ErasureAsk> auto& event) {
  io(event.slot);
  io(event.user);
  io(event.started);
  io(event.begins);
  io(event.node);
  io(event.shard);
}
void describe(auto& io, Is<ErasureAnswer> auto& event) {
  io(event.slot);
  io(event.user);
  io(event.started);
  io(event.done);
  io(event.redacted);
}

template <class Event>
concept NamesUser = Is<Event, FollowUser> || Is<Event, UnfollowUser>;
void describe(auto& io, NamesUser auto& event) {
  io(event.follow);
  io(event.user);
}
void describe(auto& io, Is<UserConversations> auto& event) {
  io(event.slot);
  io(event.follow);
  io(event.user);
  describe_status(io, event);
  io(event.whole);
  io(event.more);
  io(event.conversations);
}
void describe(auto& io, Is<SnapshotOffer> auto& event) {
  io(event.slot);
  io(event.term);
}
void describe(auto& io, Is<SnapshotRead> auto& event) {
  io(event.slot);
  io(event.token);
  io(event.position);
  io(event.known);
}
void describe(auto& io, Is<SnapshotPage> auto& event) {
  io(event.slot);
  io(event.token);
  describe_status(io, event);
  io(event.term);
  io(event.index);
  io(event.named);
  io(event.voters);
  io(event.learners);
  io(event.next);
  io(event.bytes);
}
void describe(auto& io, Is<SnapshotTaken> auto& event) {
  io(event.slot);
  io(event.term);
  io(event.index);
}

void describe(auto& io, Is<ShareGrant> auto& event) {
  io(event.token);
  io(event.seqs);
}
void describe(auto& io, Is<ShareDone> auto& event) {
  io(event.conversation);
  io(event.group);
  io(event.token);
  io(event.seqs);
}

template <class Body>
bool read(Reader& reader, Event& event) {
  describe(reader, event.emplace<Body>());
  return reader.complete();
}
using ReadBody = bool (*)(Reader&, Event&);
template <class... Bodies>
constexpr std::array<ReadBody, sizeof...(Bodies)> readers_of(const std::variant<Bodies...>* /*types*/) {
  return {&read<Bodies>...};
}
constexpr auto kReaders = readers_of(static_cast<const Event*>(nullptr));

/// By kind, as they stand in Event.
constexpr std::array kChannels{
    NodeChannel::Proposals,  // Propose
    NodeChannel::Proposals,  // Proposed
    NodeChannel::Entries,    // Follow
    NodeChannel::Entries,    // Unfollow
    NodeChannel::Entries,    // Followed
    NodeChannel::Entries,    // Committed
    NodeChannel::Pages,      // Read
    NodeChannel::Pages,      // Page
    NodeChannel::Sessions,   // Claim
    NodeChannel::Sessions,   // Claimed
    NodeChannel::Sessions,   // Yield
    NodeChannel::Sessions,   // Yielded
    NodeChannel::Proposals,  // Write
    NodeChannel::Proposals,  // Written
    NodeChannel::Sessions,   // Hold
    NodeChannel::Messages,   // Filters
    NodeChannel::Messages,   // FiltersTaken
    NodeChannel::Messages,   // Group
    NodeChannel::Messages,   // Message
    NodeChannel::Messages,   // MessageTaken
    NodeChannel::Entries,    // Access
    NodeChannel::Entries,    // Accessed
    NodeChannel::Entries,    // FollowUser
    NodeChannel::Entries,    // UnfollowUser
    NodeChannel::Entries,    // UserConversations
    NodeChannel::Snapshots,  // SnapshotOffer
    NodeChannel::Snapshots,  // SnapshotRead
    NodeChannel::Snapshots,  // SnapshotPage
    NodeChannel::Snapshots,  // SnapshotTaken
    NodeChannel::Entries,    // Notice
    NodeChannel::Entries,    // Delivered
    NodeChannel::Sessions,   // PresenceReport
    NodeChannel::Sessions,   // PresenceFollow
    NodeChannel::Sessions,   // PresenceShown
    NodeChannel::Sessions,   // PresenceAsk
    NodeChannel::Sessions,   // PresenceAnswer
    NodeChannel::Sessions,   // OnlineAsk
    NodeChannel::Sessions,   // OnlineAnswer
    NodeChannel::Sessions,   // ClientAsk
    NodeChannel::Sessions,   // ClientAnswer
    NodeChannel::Sessions,   // PresenceRecheck
    NodeChannel::Sessions,   // Left
    NodeChannel::Sessions,   // Settled
    NodeChannel::Sessions,   // ErasureAsk
    NodeChannel::Sessions,   // ErasureAnswer
    NodeChannel::Entries,    // ShareGrant
    NodeChannel::Entries,    // ShareDone
};
static_assert(kChannels.size() == kReaders.size());

void append(std::string& out, const Event& event) {
  out.push_back(static_cast<char>(kVersion));
  out.push_back(static_cast<char>(event.index()));
  Writer writer(out);
  std::visit([&](const auto& body) { describe(writer, body); }, event);
}

}  // namespace

std::vector<Marks> remote_marks(const std::vector<chat::UserMarks>& marks) {
  std::vector<Marks> list;
  list.reserve(marks.size());
  for (const auto& one : marks) list.push_back({one.user, one.mark.read, one.mark.delivered});
  return list;
}

std::vector<chat::UserMarks> local_marks(const std::vector<Marks>& marks) {
  std::vector<chat::UserMarks> list;
  list.reserve(marks.size());
  for (const Marks& one : marks) list.push_back({std::string(one.user), {one.read, one.delivered}});
  return list;
}

void append_publisher(std::string& bytes, std::uint64_t publisher) { Writer(bytes).last(publisher); }

std::string encode_for(Slot slot, const Event& event) {
  std::string out(1, '\0');
  append_varint(out, slot.value);
  append(out, event);
  return out;
}

std::string encode_for_shard(ShardId shard, const Event& event) {
  std::string out(1, '\1');
  append_varint(out, shard);
  append(out, event);
  return out;
}

std::optional<Event> decode(std::string_view bytes) {
  if (bytes.size() < 2 || static_cast<std::uint8_t>(bytes[0]) != kVersion) return std::nullopt;
  const auto kind = static_cast<std::uint8_t>(bytes[1]);
  if (kind >= kReaders.size()) return std::nullopt;
  Reader reader(bytes.substr(2));
  std::optional<Event> event(std::in_place);
  if (!kReaders[kind](reader, *event)) return std::nullopt;
  return event;
}

NodeChannel channel_of(const Event& event) { return kChannels[event.index()]; }

}  // namespace parley::shard::remote
