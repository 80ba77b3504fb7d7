#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "storage/format/error.hpp"

/// What stands in log.mdb: one record an element of a slot's log, with a versioned header and a checksum. Pure: bytes
/// to values and back. Format: docs/formats/log.md.
namespace parley::format {

enum class RecordKind : std::uint8_t {
  NoOp = 1,              ///< A leader's first record in its term. Raft §8.
  Conversation = 2,      ///< Creates a conversation; its number is (slot, index of this record).
  Entry = 3,             ///< One element of a conversation.
  Session = 4,           ///< A persistent session as it now is, without its cursors.
  SessionEnd = 5,        ///< The session and its cursors are gone.
  Cursor = 6,            ///< How far a persistent session has acknowledged one conversation topic.
  Replicas = 7,          ///< Who keeps the slot from here on. Raft §6.
  OwnedSession = 8,      ///< A Session that names its node.
  UserConversation = 9,  ///< In a user's slot: it is, or was, a member of a conversation.
  Fed = 10,              ///< In a conversation's slot: the user's slot knows of a member entry.
  Retention = 11,        ///< A conversation begins later now.
  Marks = 14,            ///< In a conversation's slot: marks of some users have moved.
  Erasure = 21,          ///< How far a user is erased in the slot.
};

/// Where a record stands in its slot's log.
struct RecordPosition {
  Slot slot;
  Term term;
  Index index;
  friend bool operator==(const RecordPosition&, const RecordPosition&) = default;
};

/// DESIGN of names: docs/PROTOCOL.md.
enum class ConversationType : std::uint8_t { Direct = 1, Group = 2 };
enum class Visibility : std::uint8_t { Public = 1, Private = 2 };

struct NoOpRecord {};

struct ConversationRecord {
  std::string_view name;
  Epoch epoch;
  Timestamp created;
  ConversationType type = ConversationType::Group;
  Visibility visibility = Visibility::Public;
  std::string_view creator;
};

enum class EntryKind : std::uint8_t { Message = 1, Edit = 2, Redact = 3, Member = 4, Settings = 5 };
/// As in user property `kind` and in JSON: "message", "edit", …
std::string_view name_of(EntryKind kind);

struct EntryRecord {
  ConversationNumber conversation;
  Seq seq;
  Timestamp ts;
  EntryKind kind = EntryKind::Message;
  bool id_from_client = false;  ///< Only such ids are kept for idempotence; the broker's own never come twice.
  /// What an edit or redaction refers to. Of a message, the edit or redaction that has changed it; 0: nothing.
  Seq ref;
  bool edited = false;    ///< A message that has the content of its latest edit.
  bool redacted = false;  ///< A message or edit whose content is gone: zeros stand in its place, and aren't shown.
  /// Of a message: the client id that has published it, as mqtt::publisher_of has it. 0: not known.
  std::uint64_t publisher = 0;
  std::string_view from;
  std::string_view id;
  /// MQTT 5 property bytes that are forwarded with the payload, as mqtt::Message::Parts::properties; opaque here.
  std::string_view properties;
  std::string_view payload;
};

struct SessionRecord {
  std::string_view client_id;
  std::string_view user;
  std::uint32_t expiry_interval = 0;  ///< Seconds; 0xFFFFFFFF: never. MQTT 5 §3.1.2.11.2.
  Timestamp disconnected;             ///< 0: connected when this was written.
  std::string_view state;             ///< Subscriptions and flows, written and read by broker/session.
  NodeId owner;                       ///< The node that has the session; 0: written without a cluster.
  std::uint64_t generation = 0;       ///< Rises whenever the session goes to a node.
};

struct SessionEndRecord {
  std::string_view client_id;
};

struct CursorRecord {
  std::string_view client_id;
  std::string_view topic;  ///< The conversation topic, such as chat/x/msg.
  Epoch epoch;
  Seq acknowledged;  ///< Everything up to here was acknowledged by the client.
};

/// Node ids as nodes_text() writes them, ascending.
struct ReplicasRecord {
  std::string_view voters;
  std::string_view learners;
};
std::string nodes_text(std::span<const NodeId> nodes);
std::vector<NodeId> nodes_of(std::string_view text);

struct UserConversationRecord {
  std::string_view user;
  bool present = false;
  ConversationNumber conversation;
  Epoch epoch;
  Seq changed;  ///< Of the member entry that says so; a record with a lower one changes nothing.
  std::string_view name;
};

struct FedRecord {
  ConversationNumber conversation;
  Seq changed;  ///< As in the UserConversationRecord that is committed.
  std::string_view user;
};

struct RetentionRecord {
  ConversationNumber conversation;
  Seq oldest;  ///< What comes before it is gone.
};

enum class ErasureState : std::uint8_t {
  Open = 1,      ///< There may be something left in the slot.
  Done = 2,      ///< There isn't.
  Finished = 3,  ///< In the user's slot: nor in any other one.
  Forgotten = 4  ///< Nobody needs to know any more.
};
struct ErasureRecord {
  std::string_view user;
  Timestamp started;  ///< Which erasure of the user; the higher one counts.
  ErasureState state = ErasureState::Open;
  ConversationNumber conversation;  ///< While it is open: what comes before this one is done …
  Seq seq;                          ///< … and in it what comes before this entry.
  std::uint64_t redacted = 0;       ///< About so many messages.
};

/// Of several users, as marks_text() writes them.
struct MarksRecord {
  ConversationNumber conversation;
  std::string_view marks;
};

using RecordBody =
    std::variant<NoOpRecord, ConversationRecord, EntryRecord, SessionRecord, SessionEndRecord, CursorRecord,
                 ReplicasRecord, UserConversationRecord, FedRecord, RetentionRecord, MarksRecord, ErasureRecord>;

struct Record {
  RecordPosition position;
  RecordBody body;
};

inline constexpr std::uint8_t kRecordVersion = 2;  ///< Of an entry with a publisher; all others have version 1.

/// Header, body and checksum as they are stored.
std::string encode_record(const RecordPosition& position, const RecordBody& body);

/// Checks version and checksum, then decodes; views live as long as `bytes`. Fails with CorruptRecord, or with
/// NewerFormat for a version above kRecordVersion.
Result<Record> decode_record(std::string_view bytes);
/// Without the checksum, for bytes that were checked before or encoded by this process.
Result<Record> decode_trusted_record(std::string_view bytes);

/// Whether the bytes look like a Replicas record, by their kind alone.
bool is_replicas_record(std::string_view bytes);
/// The place alone, without a look at the body. Fails as decode_record.
Result<RecordPosition> decode_position(std::string_view bytes);
/// Without the checksum, too. Fails with CorruptRecord when there is no header.
Result<RecordPosition> decode_trusted_position(std::string_view bytes);

/// An encoded entry record together with its decoded view: immutable, shared by log writer, feeds and readers on any
/// thread.
class Entry {
 public:
  /// `bytes` is an encoded Entry record; checks it. Fails as decode_record; CorruptRecord for another kind.
  static Result<std::shared_ptr<const Entry>> from_bytes(std::string bytes);
  /// A copy of `bytes`, which were checked and decoded as `decoded`, an Entry record.
  static std::shared_ptr<const Entry> copy_of(std::string_view bytes, const Record& decoded);
  /// Encodes `record` at `position`.
  static std::shared_ptr<const Entry> make(const RecordPosition& position, const EntryRecord& record);

  const EntryRecord* operator->() const { return &record_; }
  const EntryRecord& operator*() const { return record_; }
  [[nodiscard]] const RecordPosition& position() const { return position_; }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

 private:
  /// `views`: where the views of `decoded` point into, the same bytes.
  static std::shared_ptr<const Entry> take(std::string bytes, const Record& decoded, const char* views);
  Entry() = default;
  std::string bytes_;
  RecordPosition position_;
  EntryRecord record_;
};
using EntryPtr = std::shared_ptr<const Entry>;

// -- What edits and redactions make of a message, or of an edit that is redacted with it --

/// The message's record with the content of `edit`.
std::string encode_edited(const RecordPosition& position, const EntryRecord& message, const EntryRecord& edit);
/// Takes the content out of an encoded message or edit: zeros in its place, all else as it was, and of the same size,
/// so that it can be written over the original. `by`: the redaction.
void redact_record(std::string& bytes, Seq by);

EntryPtr edited(const Entry& message, const EntryRecord& edit);
EntryPtr redacted(const Entry& entry, Seq by);

}  // namespace parley::format
