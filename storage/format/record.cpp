#include "storage/format/record.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.hpp"
#include "base/check.hpp"
#include "storage/format/field_reader.hpp"
#include "storage/format/marks.hpp"
#include "storage/format/sealed.hpp"

namespace parley::format {
namespace {

constexpr std::size_t kHeaderSize = 24;  // Checksum 4, version 1, kind 1, slot 2, term 8, index 8.
constexpr std::size_t kShortTextMax = 0xFFFF;
constexpr std::size_t kNodeSize = sizeof(NodeId::value);
constexpr std::uint8_t kFirstVersion = 1;
constexpr std::uint8_t kVersionWithPublisher = 2;

// Flags of an entry.
constexpr std::uint8_t kIdFromClient = 1U << 0;
constexpr std::uint8_t kEdited = 1U << 1;
constexpr std::uint8_t kRedacted = 1U << 2;

constexpr std::array<std::string_view, 6> kEntryKindNames{"", "message", "edit", "redact", "member", "settings"};

/// Writes fields one after the other into memory that is large enough.
class FieldWriter {
 public:
  explicit FieldWriter(char* to) : to_(to) {}
  template <class Integer>
  void integer(Integer value) {
    store_big_endian(to_, value);
    to_ += sizeof(Integer);
  }
  void text(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(to_, bytes.data(), bytes.size());
    to_ += bytes.size();
  }
  void size16(std::string_view bytes) { integer(static_cast<std::uint16_t>(bytes.size())); }

 private:
  char* to_;
};

// Each body in three parts: its size, its fields out, its fields in. The page docs/formats/log.md has them as tables.

std::size_t size_of(const NoOpRecord&) { return 0; }
std::size_t size_of(const ConversationRecord& body) { return 20 + body.name.size() + body.creator.size(); }
/// Of all that stands before an entry's properties.
std::size_t head_size(const EntryRecord& body) {
  return (body.publisher != 0 ? 50 : 42) + body.from.size() + body.id.size();
}
std::size_t size_of(const EntryRecord& body) { return head_size(body) + body.properties.size() + body.payload.size(); }
bool is_owned(const SessionRecord& body) { return body.owner != NodeId{} || body.generation != 0; }
std::size_t size_of(const SessionRecord& body) {
  return (is_owned(body) ? 32 : 16) + body.client_id.size() + body.user.size() + body.state.size();
}
std::size_t size_of(const SessionEndRecord& body) { return body.client_id.size(); }
std::size_t size_of(const CursorRecord& body) { return 18 + body.client_id.size() + body.topic.size(); }
std::size_t size_of(const ReplicasRecord& body) { return 1 + body.voters.size() + body.learners.size(); }
std::size_t size_of(const UserConversationRecord& body) { return 27 + body.user.size() + body.name.size(); }
std::size_t size_of(const FedRecord& body) { return 16 + body.user.size(); }
std::size_t size_of(const MarksRecord& body) { return 8 + body.marks.size(); }

std::size_t size_of(const RetentionRecord&) { return 16; }
std::size_t size_of(const ErasureRecord& body) { return 33 + body.user.size(); }

RecordKind kind_of(const NoOpRecord&) { return RecordKind::NoOp; }
RecordKind kind_of(const ConversationRecord&) { return RecordKind::Conversation; }
RecordKind kind_of(const EntryRecord&) { return RecordKind::Entry; }
RecordKind kind_of(const SessionRecord& body) {
  return is_owned(body) ? RecordKind::OwnedSession : RecordKind::Session;
}
RecordKind kind_of(const SessionEndRecord&) { return RecordKind::SessionEnd; }
RecordKind kind_of(const CursorRecord&) { return RecordKind::Cursor; }
RecordKind kind_of(const ReplicasRecord&) { return RecordKind::Replicas; }
RecordKind kind_of(const UserConversationRecord&) { return RecordKind::UserConversation; }
RecordKind kind_of(const FedRecord&) { return RecordKind::Fed; }
RecordKind kind_of(const MarksRecord&) { return RecordKind::Marks; }

RecordKind kind_of(const RetentionRecord&) { return RecordKind::Retention; }
RecordKind kind_of(const ErasureRecord&) { return RecordKind::Erasure; }

template <class Body>
std::uint8_t version_of(const Body&) {
  return kFirstVersion;
}
std::uint8_t version_of(const EntryRecord& body) { return body.publisher != 0 ? kVersionWithPublisher : kFirstVersion; }

void check_short(std::string_view text) {
  PARLEY_CHECK(text.size() <= kShortTextMax, "a name, id or topic of a record is longer than 65535 bytes");
}

void write(FieldWriter&, const NoOpRecord&) {}
void write(FieldWriter& out, const ConversationRecord& body) {
  check_short(body.name);
  out.integer(body.epoch.value);
  out.integer(body.created.milliseconds);
  out.integer(static_cast<std::uint8_t>(body.type));
  out.integer(static_cast<std::uint8_t>(body.visibility));
  out.size16(body.name);
  out.text(body.name);
  out.text(body.creator);
}
void write(FieldWriter& out, const EntryRecord& body) {
  check_short(body.from);
  check_short(body.id);
  PARLEY_CHECK(body.publisher == 0 || body.kind == EntryKind::Message, "an entry with a publisher is no message");
  PARLEY_CHECK(body.properties.size() <= 0xFFFF'FFFF, "an entry's properties are longer than 4 GiB");
  out.integer(body.conversation.value);
  out.integer(body.seq.value);
  out.integer(body.ts.milliseconds);
  out.integer(body.ref.value);
  out.integer(static_cast<std::uint8_t>(body.kind));
  out.integer(static_cast<std::uint8_t>((body.id_from_client ? kIdFromClient : 0) | (body.edited ? kEdited : 0) |
                                        (body.redacted ? kRedacted : 0)));
  out.size16(body.from);
  out.size16(body.id);
  out.integer(static_cast<std::uint32_t>(body.properties.size()));
  if (body.publisher != 0) out.integer(body.publisher);
  out.text(body.from);
  out.text(body.id);
  out.text(body.properties);
  out.text(body.payload);
}
void write(FieldWriter& out, const SessionRecord& body) {
  check_short(body.client_id);
  check_short(body.user);
  if (is_owned(body)) {
    out.integer(body.owner.value);
    out.integer(body.generation);
  }
  out.integer(body.expiry_interval);
  out.integer(body.disconnected.milliseconds);
  out.size16(body.client_id);
  out.size16(body.user);
  out.text(body.client_id);
  out.text(body.user);
  out.text(body.state);
}
void write(FieldWriter& out, const SessionEndRecord& body) { out.text(body.client_id); }
void write(FieldWriter& out, const CursorRecord& body) {
  check_short(body.client_id);
  out.integer(body.epoch.value);
  out.integer(body.acknowledged.value);
  out.size16(body.client_id);
  out.text(body.client_id);
  out.text(body.topic);
}
void write(FieldWriter& out, const ReplicasRecord& body) {
  PARLEY_CHECK(body.voters.size() <= 0xFF * kNodeSize, "a slot has more voters than a record can name");
  out.integer(static_cast<std::uint8_t>(body.voters.size() / kNodeSize));
  out.text(body.voters);
  out.text(body.learners);
}
void write(FieldWriter& out, const UserConversationRecord& body) {
  check_short(body.user);
  out.integer(static_cast<std::uint8_t>(body.present ? 1 : 0));
  out.integer(body.conversation.value);
  out.integer(body.epoch.value);
  out.integer(body.changed.value);
  out.size16(body.user);
  out.text(body.user);
  out.text(body.name);
}
void write(FieldWriter& out, const FedRecord& body) {
  out.integer(body.conversation.value);
  out.integer(body.changed.value);
  out.text(body.user);
}
void write(FieldWriter& out, const MarksRecord& body) {
  out.integer(body.conversation.value);
  out.text(body.marks);
}

void write(FieldWriter& out, const RetentionRecord& body) {
  out.integer(body.conversation.value);
  out.integer(body.oldest.value);
}

void write(FieldWriter& out, const ErasureRecord& body) {
  out.integer(static_cast<std::uint8_t>(body.state));
  out.integer(body.started.milliseconds);
  out.integer(body.conversation.value);
  out.integer(body.seq.value);
  out.integer(body.redacted);
  out.text(body.user);
}

ConversationRecord read_conversation(FieldReader& in, bool& sound) {
  ConversationRecord body;
  body.epoch = {in.integer<std::uint64_t>()};
  body.created = {in.integer<std::uint64_t>()};
  const auto type = in.integer<std::uint8_t>();
  const auto visibility = in.integer<std::uint8_t>();
  sound = type >= 1 && type <= 2 && visibility >= 1 && visibility <= 2;
  body.type = static_cast<ConversationType>(type);
  body.visibility = static_cast<Visibility>(visibility);
  body.name = in.text(in.integer<std::uint16_t>());
  body.creator = in.rest();
  return body;
}
EntryRecord read_entry(FieldReader& in, bool has_publisher, bool& sound) {
  EntryRecord body;
  body.conversation = {in.integer<std::uint64_t>()};
  body.seq = {in.integer<std::uint64_t>()};
  body.ts = {in.integer<std::uint64_t>()};
  body.ref = {in.integer<std::uint64_t>()};
  const auto kind = in.integer<std::uint8_t>();
  const auto flags = in.integer<std::uint8_t>();
  body.kind = static_cast<EntryKind>(kind);
  body.id_from_client = (flags & kIdFromClient) != 0;
  body.edited = (flags & kEdited) != 0;
  body.redacted = (flags & kRedacted) != 0;
  sound = kind >= 1 && kind < kEntryKindNames.size() && (flags & ~(kIdFromClient | kEdited | kRedacted)) == 0;
  if (body.edited) sound = sound && body.kind == EntryKind::Message && !body.redacted;
  if (body.redacted) sound = sound && (body.kind == EntryKind::Message || body.kind == EntryKind::Edit);
  const auto from_size = in.integer<std::uint16_t>();
  const auto id_size = in.integer<std::uint16_t>();
  const auto properties_size = in.integer<std::uint32_t>();
  if (has_publisher) {
    body.publisher = in.integer<std::uint64_t>();
    sound = sound && body.publisher != 0 && body.kind == EntryKind::Message;
  }
  body.from = in.text(from_size);
  body.id = in.text(id_size);
  body.properties = in.text(properties_size);
  body.payload = in.rest();
  if (body.redacted) {
    const auto is_zero = [](char c) { return c == '\0'; };
    sound = sound && std::ranges::all_of(body.properties, is_zero) && std::ranges::all_of(body.payload, is_zero);
    body.properties = body.payload = {};
  }
  return body;
}
SessionRecord read_session(FieldReader& in, bool owned, bool& sound) {
  SessionRecord body;
  if (owned) {
    body.owner = {in.integer<std::uint64_t>()};
    body.generation = in.integer<std::uint64_t>();
    sound = is_owned(body);
  }
  body.expiry_interval = in.integer<std::uint32_t>();
  body.disconnected = {in.integer<std::uint64_t>()};
  const auto client_id_size = in.integer<std::uint16_t>();
  const auto user_size = in.integer<std::uint16_t>();
  body.client_id = in.text(client_id_size);
  body.user = in.text(user_size);
  body.state = in.rest();
  return body;
}
CursorRecord read_cursor(FieldReader& in) {
  CursorRecord body;
  body.epoch = {in.integer<std::uint64_t>()};
  body.acknowledged = {in.integer<std::uint64_t>()};
  body.client_id = in.text(in.integer<std::uint16_t>());
  body.topic = in.rest();
  return body;
}
ReplicasRecord read_replicas(FieldReader& in, bool& sound) {
  ReplicasRecord body;
  body.voters = in.text(in.integer<std::uint8_t>() * kNodeSize);
  body.learners = in.rest();
  sound = body.learners.size() % kNodeSize == 0;
  return body;
}
UserConversationRecord read_user_conversation(FieldReader& in, bool& sound) {
  UserConversationRecord body;
  const auto present = in.integer<std::uint8_t>();
  sound = present <= 1;
  body.present = present != 0;
  body.conversation = {in.integer<std::uint64_t>()};
  body.epoch = {in.integer<std::uint64_t>()};
  body.changed = {in.integer<std::uint64_t>()};
  body.user = in.text(in.integer<std::uint16_t>());
  body.name = in.rest();
  return body;
}
FedRecord read_fed(FieldReader& in) {
  FedRecord body;
  body.conversation = {in.integer<std::uint64_t>()};
  body.changed = {in.integer<std::uint64_t>()};
  body.user = in.rest();
  return body;
}
RetentionRecord read_retention(FieldReader& in) {
  RetentionRecord body;
  body.conversation = {in.integer<std::uint64_t>()};
  body.oldest = {in.integer<std::uint64_t>()};
  return body;
}
ErasureRecord read_erasure(FieldReader& in, bool& sound) {
  ErasureRecord body;
  const auto state = in.integer<std::uint8_t>();
  sound = state >= static_cast<std::uint8_t>(ErasureState::Open) &&
          state <= static_cast<std::uint8_t>(ErasureState::Forgotten);
  body.state = static_cast<ErasureState>(state);
  body.started = {in.integer<std::uint64_t>()};
  body.conversation = {in.integer<std::uint64_t>()};
  body.seq = {in.integer<std::uint64_t>()};
  body.redacted = in.integer<std::uint64_t>();
  body.user = in.rest();
  return body;
}
MarksRecord read_marks(FieldReader& in, bool& sound) {
  MarksRecord body;
  body.conversation = {in.integer<std::uint64_t>()};
  body.marks = in.rest();
  sound = marks_of(body.marks).has_value();
  return body;
}

template <class Body>
std::string encode(const RecordPosition& position, const Body& body) {
  PARLEY_CHECK(position.slot.value <= 0xFFFF, "a record's slot number is above 65535");
  std::string bytes(kHeaderSize + size_of(body), '\0');
  FieldWriter out(bytes.data() + kVersionOffset);
  out.integer(version_of(body));
  out.integer(static_cast<std::uint8_t>(kind_of(body)));
  out.integer(static_cast<std::uint16_t>(position.slot.value));
  out.integer(position.term.value);
  out.integer(position.index.value);
  write(out, body);
  seal(bytes.data(), bytes.size());
  return bytes;
}

}  // namespace

std::string_view name_of(EntryKind kind) { return kEntryKindNames.at(static_cast<std::size_t>(kind)); }

std::string nodes_text(std::span<const NodeId> nodes) {
  std::string text;
  for (const NodeId node : nodes) append_big_endian(text, node.value);
  return text;
}

std::vector<NodeId> nodes_of(std::string_view text) {
  std::vector<NodeId> nodes;
  for (; text.size() >= kNodeSize; text.remove_prefix(kNodeSize)) {
    nodes.push_back({load_big_endian<std::uint64_t>(text.data())});
  }
  return nodes;
}

std::string encode_record(const RecordPosition& position, const RecordBody& body) {
  return std::visit([&position](const auto& one) { return encode(position, one); }, body);
}

Result<Record> decode_record(std::string_view bytes) {
  PARLEY_TRY(check_seal(bytes, kRecordVersion));
  return decode_trusted_record(bytes);
}

Result<Record> decode_trusted_record(std::string_view bytes) {
  FieldReader in(bytes);
  in.text(kVersionOffset);
  const bool has_publisher = in.integer<std::uint8_t>() == kVersionWithPublisher;
  const auto kind = static_cast<RecordKind>(in.integer<std::uint8_t>());
  Record record;
  record.position.slot = {in.integer<std::uint16_t>()};
  record.position.term = {in.integer<std::uint64_t>()};
  record.position.index = {in.integer<std::uint64_t>()};
  if (has_publisher && kind != RecordKind::Entry) return StorageError::CorruptRecord;
  bool sound = true;
  switch (kind) {
    case RecordKind::NoOp: break;
    case RecordKind::Conversation: record.body = read_conversation(in, sound); break;
    case RecordKind::Entry: record.body = read_entry(in, has_publisher, sound); break;
    case RecordKind::Session: record.body = read_session(in, false, sound); break;
    case RecordKind::OwnedSession: record.body = read_session(in, true, sound); break;
    case RecordKind::SessionEnd: record.body = SessionEndRecord{in.rest()}; break;
    case RecordKind::Cursor: record.body = read_cursor(in); break;
    case RecordKind::Replicas: record.body = read_replicas(in, sound); break;
    case RecordKind::UserConversation: record.body = read_user_conversation(in, sound); break;
    case RecordKind::Fed: record.body = read_fed(in); break;
    case RecordKind::Retention: record.body = read_retention(in); break;
    case RecordKind::Marks: record.body = read_marks(in, sound); break;
    case RecordKind::Erasure: record.body = read_erasure(in, sound); break;
    default: return StorageError::CorruptRecord;
  }
  if (!sound || !in.complete()) return StorageError::CorruptRecord;
  return record;
}

bool is_replicas_record(std::string_view bytes) {
  return bytes.size() >= kHeaderSize && bytes[kSealSize] == static_cast<char>(RecordKind::Replicas);
}

Result<RecordPosition> decode_position(std::string_view bytes) {
  PARLEY_TRY(check_seal(bytes, kRecordVersion));
  return decode_trusted_position(bytes);
}

Result<RecordPosition> decode_trusted_position(std::string_view bytes) {
  if (bytes.size() < kHeaderSize) return StorageError::CorruptRecord;
  const char* const fields = bytes.data() + kSealSize + 1;  // Behind the kind.
  return RecordPosition{{load_big_endian<std::uint16_t>(fields)},
                        {load_big_endian<std::uint64_t>(fields + 2)},
                        {load_big_endian<std::uint64_t>(fields + 10)}};
}

void redact_record(std::string& bytes, Seq by) {
  constexpr std::size_t kRefAt = kHeaderSize + 24;
  constexpr std::size_t kFlagsAt = kRefAt + 9;
  const auto record = decode_trusted_record(bytes);
  const auto* entry = record ? std::get_if<EntryRecord>(&record->body) : nullptr;
  PARLEY_CHECK(entry != nullptr, "what is to be redacted is no entry");
  const std::size_t content = kHeaderSize + head_size(*entry);
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(content), bytes.end(), '\0');
  if (entry->kind == EntryKind::Message) store_big_endian(bytes.data() + kRefAt, by.value);
  bytes[kFlagsAt] = static_cast<char>((entry->id_from_client ? kIdFromClient : 0) | kRedacted);
  seal(bytes.data(), bytes.size());
}

std::string encode_edited(const RecordPosition& position, const EntryRecord& message, const EntryRecord& edit) {
  EntryRecord body = message;
  body.ref = edit.seq;
  body.edited = true;
  body.properties = edit.properties;
  body.payload = edit.payload;
  return encode(position, body);
}

std::shared_ptr<const Entry> redacted(const Entry& entry, Seq by) {
  std::string bytes = entry.bytes();
  redact_record(bytes, by);
  return *Entry::from_bytes(std::move(bytes));
}

std::shared_ptr<const Entry> edited(const Entry& message, const EntryRecord& edit) {
  return *Entry::from_bytes(encode_edited(message.position(), *message, edit));
}

std::shared_ptr<const Entry> Entry::take(std::string bytes, const Record& decoded, const char* views) {
  struct Made : Entry {};
  auto entry = std::make_shared<Made>();
  entry->bytes_ = std::move(bytes);
  entry->position_ = decoded.position;
  entry->record_ = std::get<EntryRecord>(decoded.body);
  const char* const data = entry->bytes_.data();
  for (auto* view : {&entry->record_.from, &entry->record_.id, &entry->record_.properties, &entry->record_.payload}) {
    *view = view->empty() ? std::string_view() : std::string_view(data + (view->data() - views), view->size());
  }
  return entry;
}

Result<std::shared_ptr<const Entry>> Entry::from_bytes(std::string bytes) {
  PARLEY_TRY(const Record record, decode_record(bytes));
  if (!std::holds_alternative<EntryRecord>(record.body)) return StorageError::CorruptRecord;
  const char* views = bytes.data();
  return take(std::move(bytes), record, views);
}

std::shared_ptr<const Entry> Entry::copy_of(std::string_view bytes, const Record& decoded) {
  return take(std::string(bytes), decoded, bytes.data());
}

std::shared_ptr<const Entry> Entry::make(const RecordPosition& position, const EntryRecord& record) {
  std::string bytes = encode(position, record);
  const auto decoded = decode_trusted_record(bytes);
  PARLEY_CHECK(decoded.has_value(), "an entry record that was just encoded can't be decoded");
  const char* views = bytes.data();
  return take(std::move(bytes), *decoded, views);
}

}  // namespace parley::format
