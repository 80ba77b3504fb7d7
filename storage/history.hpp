#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "storage/commit_view.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/record.hpp"
#include "storage/members.hpp"
#include "storage/tail_index.hpp"

namespace parley::storage {

class Files;
class ReadTransaction;

/// A conversation as it stands in store and log together.
struct ConversationState {
  ConversationNumber number;
  std::string name;
  Epoch epoch;
  Seq oldest;  ///< First seq that retention has left; head + 1 when there is none.
  Seq head;    ///< 0: no entry yet.
  Timestamp created;
  Timestamp last_ts;  ///< Of the entry at head; `created` while there is none.
  format::ConversationType type = format::ConversationType::Group;
  format::Visibility visibility = format::Visibility::Public;
  std::string creator;
  /// What is materialised of members and settings: later entries of these kinds are among History::Loaded.
  std::uint64_t members = 0;
  std::uint64_t owners = 0;
  bool announce = false;
  format::HistoryRule history = format::HistoryRule::Joined;
  std::string title;
};

enum class Direction : std::uint8_t { Ascending, Descending };

/// Both ends belong to it.
struct SeqRange {
  Seq first;
  Seq last;
};

/// A page ends with the entry that reaches one of them, so it has at least one.
struct PageLimits {
  std::size_t entries_max = 256;
  std::size_t bytes_max = 256 * 1024;  ///< Of encoded records.
};

/// Entries in the order of the direction asked for.
struct Page {
  std::vector<format::EntryPtr> entries;
  /// Seqs within what the page covers that were given but can't be read: their record is damaged or lost.
  std::vector<Seq> corrupt;
};

/// Is handed entries inside the read transaction: views into the mapped file, gone when the call returns.
class EntryVisitor {
 public:
  virtual ~EntryVisitor() = default;
  /// `record` is the decoded form of `bytes`, an Entry whose checksum is right.
  virtual void entry(const format::Record& record, std::string_view bytes) = 0;
  virtual void corrupt(Seq seq) = 0;
};

/// What a reader sees: store.mdb and behind it the part of log.mdb that isn't materialised yet, as one history. The
/// same code in the broker and in another process. Formats: docs/formats/log.md, docs/formats/store.md.
///
/// Belongs to one thread; each thread that reads has its own. Every call first sees what is durable at its beginning
/// (two read transactions renewed: half a microsecond when nothing is new) and holds no transaction when it returns, so
/// an idle reader never keeps pages from being used again. Nobody sees an entry before it is synced and committed; see
/// CommitIndexes. Memory: the TailIndex. Reads allocate nothing but the entries they return.
class History {
 public:
  struct Options {
    unsigned readers_max = 1024;  ///< Read transactions at a time over all processes; whoever opens first decides.
  };

  /// In a process that doesn't write: opens both files of `directory` (…/storage-0) read-only, while the broker runs or
  /// not. NotFound when no broker has run there yet, NewerFormat, ReadOnly when the lock files can't be written,
  /// Failed.
  static Result<std::unique_ptr<History>> open(const std::string& directory, Options options);
  /// In the broker, and for a second thread of the reading process: one process opens the files only once.
  explicit History(std::shared_ptr<Files> files);
  ~History();

  [[nodiscard]] const std::shared_ptr<Files>& files() const { return files_; }

  /// Takes in what is new; another number than before each time there may be more to see. O(new records).
  Result<std::uint64_t> follow();

  /// Nothing when there is no conversation of that name. CorruptRecord when its row is damaged.
  Result<std::optional<ConversationState>> find_conversation(std::string_view name);
  Result<std::optional<ConversationState>> find_conversation(ConversationNumber number);

  struct Loaded {
    std::optional<ConversationState> conversation;
    /// Entries with ids from clients, and those that are no messages, that the store hasn't taken in yet, ascending.
    std::vector<format::EntryPtr> unmaterialised;
    /// The members whom those entries change, as they are in the store.
    std::vector<format::StoredMember> members;
    /// What the log behind the store says of users' marks: by records of them, and by what they have sent.
    std::map<std::string, format::Mark, std::less<>> marks;
    Lsn log_end;  ///< Of the snapshot that all of this is from.
  };
  /// What the broker must know to lead a conversation. Together with an IdFinder that is asked later it misses no id:
  /// one that isn't among `unmaterialised` was in the store already, and the store only moves forward.
  Result<Loaded> load(std::string_view name);

  /// What `user` may read of a conversation, everything that is committed considered. `state` as find_conversation()
  /// gave it.
  struct Access {
    bool may_read = false;
    Seq visible_from{1};  ///< What came before it is not for this user.
  };
  Result<Access> access_of(const ConversationState& state, std::string_view user);

  /// A user's conversations, those that it has left included; the last word on each by `changed`.
  Result<std::vector<format::UserConversation>> load_user(std::string_view user);

  /// Entries of `range`, which is first cut to what the conversation has: from its first seq on when ascending, from
  /// its last when descending. Empty when nothing is left of it. NotFound when there is no such conversation.
  Result<Page> read(ConversationNumber number, SeqRange range, PageLimits limits, Direction direction);
  /// The same without copying. Returns how many entries and corrupt seqs were handed over.
  Result<std::size_t> visit(ConversationNumber number, SeqRange range, PageLimits limits, Direction direction,
                            EntryVisitor& visitor);

  /// The first entry whose ts is not before `time`; head + 1 when there is none. ts never falls within a conversation,
  /// so this takes O(log n) point reads.
  Result<Seq> first_at_or_after(ConversationNumber number, Timestamp time);

 private:
  class Snapshot;
  class Walk;
  /// Which seqs a conversation has, and up to where they are in the store.
  struct Extent {
    Seq oldest{1};
    Seq head;
    Seq store_head;
  };

  Result<void> load_marks(ConversationNumber number, Loaded& loaded);
  Result<void> load_member(const format::EntryRecord& entry, Loaded& loaded);
  Result<std::optional<ConversationState>> state_of(std::string_view name);
  Result<std::optional<ConversationState>> state_of(ConversationNumber number);
  Result<std::optional<Extent>> extent_of(ConversationNumber number);

  std::shared_ptr<Files> files_;
  std::unique_ptr<ReadTransaction> log_;
  std::unique_ptr<ReadTransaction> store_;
  CommitView commits_;
  TailIndex tail_;
};

}  // namespace parley::storage
