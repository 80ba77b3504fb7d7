#include "storage/history.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "storage/history_walk.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {

/// What is committed, then both transactions, the log's begun first (see TailIndex::follow), and the tail brought up to
/// them.
class History::Snapshot {
 public:
  explicit Snapshot(History& history) : history_(history), ready_(begin()) {}
  ~Snapshot() {
    if (store_begun_) history_.store_->end();
    if (log_begun_) history_.log_->end();
  }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  [[nodiscard]] const Result<void>& ready() const { return ready_; }

 private:
  Result<void> begin();
  Result<void> begin_log() {
    auto begun = history_.log_->begin();
    log_begun_ = begun.has_value();
    return begun;
  }

  History& history_;
  bool log_begun_ = false;
  bool store_begun_ = false;
  Result<void> ready_;
};

Result<void> History::Snapshot::begin() {
  const bool waits = history_.tail_.waits();
  if (waits) {
    PARLEY_TRY(history_.commits_.read());
  }
  PARLEY_TRY(begin_log());
  if (!waits && history_.tail_.is_new(*history_.log_)) {
    // Only now it shows that somebody must know what is committed, and that has to be read before.
    history_.log_->end();
    log_begun_ = false;
    PARLEY_TRY(history_.commits_.read());
    PARLEY_TRY(begin_log());
  }
  auto begun = history_.store_->begin();
  store_begun_ = begun.has_value();
  if (!begun) return begun;
  return history_.tail_.follow(history_.commits_, *history_.log_, *history_.store_);
}

Result<std::unique_ptr<History>> History::open(const std::string& directory, Options options) {
  PARLEY_TRY(auto files, Files::open_to_read(directory, options.readers_max));
  return std::make_unique<History>(std::move(files));
}

History::History(std::shared_ptr<Files> files)
    : files_(std::move(files)),
      log_(std::make_unique<ReadTransaction>(files_->log())),
      store_(std::make_unique<ReadTransaction>(files_->store())),
      commits_(files_) {}
History::~History() = default;

Result<std::uint64_t> History::follow() {
  const Snapshot snapshot(*this);
  PARLEY_TRY(snapshot.ready());
  return tail_.changes();
}

Result<std::optional<ConversationState>> History::find_conversation(std::string_view name) {
  const Snapshot snapshot(*this);
  PARLEY_TRY(snapshot.ready());
  return state_of(name);
}

Result<History::Loaded> History::load(std::string_view name) {
  const Snapshot snapshot(*this);
  PARLEY_TRY(snapshot.ready());
  Loaded loaded;
  PARLEY_TRY(loaded.conversation, state_of(name));
  loaded.log_end = tail_.end();
  if (!loaded.conversation) return loaded;
  const ConversationNumber number = loaded.conversation->number;
  PARLEY_TRY(load_marks(number, loaded));
  const auto* tail = tail_.find(number);
  if (tail == nullptr || tail->positions.empty()) return loaded;
  PARLEY_TRY(auto walk, Walk::begin(*log_, *store_, tail_, number, Seq{0}, Direction::Ascending));
  for (Seq seq = tail->first; seq <= tail->head(); seq = seq.next()) {
    PARLEY_TRY(const auto item, walk.item(seq));
    if (!item) continue;
    const format::EntryKind kind = item->entry().kind;
    if (kind == format::EntryKind::Message) {
      format::Mark& mark = loaded.marks[std::string(item->entry().from)];
      mark = format::further(mark, {seq, seq});
      if (!item->entry().id_from_client) continue;
    }
    if (kind == format::EntryKind::Member) {
      PARLEY_TRY(load_member(item->entry(), loaded));
    }
    loaded.unmaterialised.push_back(format::Entry::copy_of(item->bytes, item->record));
  }
  return loaded;
}

Result<void> History::load_marks(ConversationNumber number, Loaded& loaded) {
  for (const Lsn position : tail_.marks(number)) {
    PARLEY_TRY(const auto bytes, log_->get(kLogTable, format::number_key(position)));
    const auto record = bytes ? format::decode_record(*bytes) : StorageError::NotFound;
    const auto* moved = record ? std::get_if<format::MarksRecord>(&record->body) : nullptr;
    if (moved == nullptr) continue;
    for (const auto& one : format::marks_of(moved->marks).value_or(std::vector<format::UserMark>())) {
      format::Mark& mark = loaded.marks[std::string(one.user)];
      mark = format::moved(one.user, mark, one.mark);
    }
  }
  return {};
}

Result<void> History::load_member(const format::EntryRecord& entry, Loaded& loaded) {
  const auto change = format::decode_member_change(entry.payload);
  if (!change || std::ranges::find(loaded.members, change->user, &format::StoredMember::user) != loaded.members.end()) {
    return {};
  }
  PARLEY_TRY(const auto bytes, store_->get(kMembers, format::member_key(entry.conversation, change->user)));
  const auto row = bytes ? format::decode_member_row(*bytes) : StorageError::NotFound;
  if (row) loaded.members.push_back({std::string(change->user), *row});
  return {};
}

Result<History::Access> History::access_of(const ConversationState& state, std::string_view user) {
  if (state.type == format::ConversationType::Direct) {
    const auto users = format::direct_users(state.name);
    return Access{.may_read = users && !user.empty() && (users->first == user || users->second == user)};
  }
  const Snapshot snapshot(*this);
  PARLEY_TRY(snapshot.ready());
  format::Visibility visibility = state.visibility;
  format::HistoryRule rule = state.history;
  std::optional<format::MemberRow> member;
  PARLEY_TRY(const auto bytes, store_->get(kMembers, format::member_key(state.number, user)));
  if (bytes) {
    PARLEY_TRY(member, format::decode_member_row(*bytes));
  }
  const auto* tail = tail_.find(state.number);
  for (const Lsn position : tail != nullptr ? tail->changes : std::vector<Lsn>()) {
    PARLEY_TRY(const auto found, log_->get(kLogTable, format::number_key(position)));
    const auto record = found ? format::decode_record(*found) : StorageError::NotFound;
    const auto* entry = record ? std::get_if<format::EntryRecord>(&record->body) : nullptr;
    if (entry == nullptr) continue;
    if (entry->kind == format::EntryKind::Settings) {
      const auto settings = format::decode_settings(entry->payload);
      if (settings) visibility = settings->visibility;
      if (settings) rule = settings->history;
    } else if (const auto change = format::decode_member_change(entry->payload); change && change->user == user) {
      const Seq joined = member ? member->joined : entry->seq;
      member = change->ends() ? std::nullopt : std::optional(format::MemberRow{change->role, joined});
    }
  }
  if (visibility == format::Visibility::Public) return Access{.may_read = true};
  Access access{.may_read = member.has_value() && !user.empty()};
  if (member && rule == format::HistoryRule::Joined) access.visible_from = member->joined;
  return access;
}

Result<std::vector<format::UserConversation>> History::load_user(std::string_view user) {
  const Snapshot snapshot(*this);
  PARLEY_TRY(snapshot.ready());
  std::vector<format::UserConversation> list;
  PARLEY_TRY(read_user_conversations(*store_, user, list));
  tail_.users().append(user, list);
  // The last word on each conversation stays.
  std::ranges::stable_sort(list, [](const format::UserConversation& a, const format::UserConversation& b) {
    return std::pair(a.number, b.changed) < std::pair(b.number, a.changed);
  });
  const auto same = [](const format::UserConversation& a, const format::UserConversation& b) {
    return a.number == b.number;
  };
  list.erase(std::unique(list.begin(), list.end(), same), list.end());
  return list;
}

Result<std::optional<ConversationState>> History::find_conversation(ConversationNumber number) {
  const Snapshot snapshot(*this);
  PARLEY_TRY(snapshot.ready());
  return state_of(number);
}

Result<std::optional<ConversationState>> History::state_of(std::string_view name) {
  // An empty name is no key, and a longer one than a key names nothing.
  if (name.empty() || name.size() > format::kKeySizeMax) return std::optional<ConversationState>();
  PARLEY_TRY(const auto number, store_->get(kNames, name));
  if (number) return state_of(ConversationNumber{format::number_from_key(*number)});
  if (const auto created = tail_.find(name)) return state_of(*created);
  return std::optional<ConversationState>();
}

Result<std::optional<ConversationState>> History::state_of(ConversationNumber number) {
  const auto* tail = tail_.find(number);
  PARLEY_TRY(const auto bytes, store_->get(kConversations, format::number_key(number)));
  ConversationState state;
  if (bytes) {
    const auto row = format::decode_conversation_row(*bytes);
    if (!row) {
      log::error("a conversation's row in the store is damaged", {{"conversation", number}});
      return row.error();
    }
    state = {.number = number,
             .name = std::string(row->name),
             .epoch = row->epoch,
             .oldest = row->oldest,
             .head = row->head,
             .created = row->created,
             .last_ts = row->last_ts,
             .type = row->type,
             .visibility = row->visibility,
             .creator = std::string(row->creator)};
  } else if (tail != nullptr && tail->creation) {
    const auto& creation = *tail->creation;
    state = {.number = number,
             .name = creation.name,
             .epoch = creation.epoch,
             .oldest = {1},
             .head = {0},
             .created = creation.created,
             .last_ts = creation.created,
             .type = creation.type,
             .visibility = creation.visibility,
             .creator = creation.creator};
  } else {
    return std::optional<ConversationState>();
  }
  if (tail != nullptr && !tail->positions.empty()) {
    state.head = std::max(state.head, tail->head());
    state.last_ts = std::max(state.last_ts, tail->last_ts);
  }
  PARLEY_TRY(const auto group_bytes, store_->get(kGroups, format::number_key(number)));
  if (group_bytes) {
    PARLEY_TRY(auto group, format::decode_group_row(*group_bytes));
    state.members = group.members;
    state.owners = group.owners;
    state.visibility = group.settings.visibility;
    state.announce = group.settings.announce;
    state.history = group.settings.history;
    state.title = std::move(group.settings.title);
  }
  return std::optional<ConversationState>(std::move(state));
}

Result<std::optional<History::Extent>> History::extent_of(ConversationNumber number) {
  const auto* tail = tail_.find(number);
  PARLEY_TRY(const auto bytes, store_->get(kConversations, format::number_key(number)));
  Extent extent;
  if (bytes) {
    PARLEY_TRY(const auto row, format::decode_conversation_row(*bytes));
    extent = {row.oldest, row.head, row.head};
  } else if (tail == nullptr || !tail->creation) {
    return std::optional<Extent>();
  }
  if (tail != nullptr && !tail->positions.empty()) extent.head = std::max(extent.head, tail->head());
  return std::optional<Extent>(extent);
}

Result<std::size_t> History::visit(ConversationNumber number, SeqRange range, PageLimits limits, Direction direction,
                                   EntryVisitor& visitor) {
  const Snapshot snapshot(*this);
  PARLEY_TRY(snapshot.ready());
  PARLEY_TRY(const auto extent, extent_of(number));
  if (!extent) return StorageError::NotFound;
  range.first = std::max(range.first, extent->oldest);
  range.last = std::min(range.last, extent->head);
  if (range.first > range.last) return std::size_t{0};

  PARLEY_TRY(auto walk, Walk::begin(*log_, *store_, tail_, number, extent->store_head, direction));
  const std::uint64_t count = std::min<std::uint64_t>(range.last.value - range.first.value + 1, limits.entries_max);
  std::size_t visited = 0;
  for (std::size_t bytes = 0; visited < count && (visited == 0 || bytes < limits.bytes_max); ++visited) {
    const Seq seq{direction == Direction::Ascending ? range.first.value + visited : range.last.value - visited};
    PARLEY_TRY(const auto item, walk.item(seq));
    if (item) {
      bytes += item->bytes.size();
      visitor.entry(item->record, item->bytes);
    } else {
      visitor.corrupt(seq);
    }
  }
  return visited;
}

Result<Page> History::read(ConversationNumber number, SeqRange range, PageLimits limits, Direction direction) {
  struct Collector final : EntryVisitor {
    Page page;
    void entry(const format::Record& record, std::string_view bytes) override {
      page.entries.push_back(format::Entry::copy_of(bytes, record));
    }
    void corrupt(Seq seq) override { page.corrupt.push_back(seq); }
  } collector;
  const std::uint64_t wanted = range.first <= range.last ? range.last.value - range.first.value + 1 : 0;
  collector.page.entries.reserve(std::min<std::uint64_t>({wanted, limits.entries_max, 64}));
  PARLEY_TRY([[maybe_unused]] const std::size_t visited, visit(number, range, limits, direction, collector));
  return std::move(collector.page);
}

Result<Seq> History::first_at_or_after(ConversationNumber number, Timestamp time) {
  const Snapshot snapshot(*this);
  PARLEY_TRY(snapshot.ready());
  PARLEY_TRY(const auto extent, extent_of(number));
  if (!extent) return StorageError::NotFound;
  PARLEY_TRY(auto walk, Walk::begin(*log_, *store_, tail_, number, extent->store_head, Direction::Ascending));
  // Everything before `low` is too early; `high` is late enough or behind the head.
  Seq low = extent->oldest;
  Seq high = extent->head.next();
  while (low < high) {
    const Seq middle{low.value + (high.value - low.value) / 2};
    // What can't be read has no time: the next one that can tells for both.
    Seq readable = middle;
    PARLEY_TRY(auto item, walk.item(readable));
    while (!item && readable.next() < high) {
      readable = readable.next();
      PARLEY_TRY(item, walk.item(readable));
    }
    if (item && item->entry().ts < time) {
      low = readable.next();
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace parley::storage
