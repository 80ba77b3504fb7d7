#include "tests/simulation/store.hpp"

#include <algorithm>
#include <utility>

#include "broker/shard/session_list.hpp"

namespace parley::simulation {

using shard::LogStoreEvents;
using shard::ShardId;

// -- LogStore --

void Store::append(shard::AppendBatch batch) {
  // One writer: batches are synced in the order in which they came.
  Instant due = clock_.now + dice_.up_to(latency_);
  if (!waiting_.empty()) due = std::max(due, waiting_.back().due);
  if (faults.answers_before_sync) {
    answer(batch.shard, true, [ticket = batch.ticket](LogStoreEvents& events) { events.appended(ticket, Lsn{1}); });
  }
  waiting_.push_back({std::move(batch), due});
}

void Store::committed(Slot slot, Index index) {
  SlotLog& log = slots_[slot];
  if (index.value > log.records.size()) return violation("what isn't durable here is said to be committed");
  log.commit = std::max(log.commit, index);
  apply(slot, log);
}

void Store::read_log(ShardId shard, LogReadRequest request) {
  ++reads_;
  answer(shard, false, [this, request](LogStoreEvents& events) {
    if (reads_fail_) return events.log_read(request.token, StorageError::Failed);
    shard::LogPage page;
    const auto& records = slots_[request.slot].records;
    if (request.first <= slots_[request.slot].base) return events.log_read(request.token, StorageError::NotFound);
    std::size_t bytes = 0;
    for (std::uint64_t index = request.first.value; index <= std::min(request.last.value, records.size()); ++index) {
      if (bytes > request.bytes_max) break;
      page.records.push_back(records[index - 1].bytes);
      bytes += page.records.back()->size();
    }
    if (page.records.empty()) return events.log_read(request.token, StorageError::NotFound);
    events.log_read(request.token, std::move(page));
  });
}

void Store::write_plain(shard::PlainBatch batch) {
  Instant due = clock_.now + dice_.up_to(latency_);
  if (!plain_waiting_.empty()) due = std::max(due, plain_waiting_.back().due);
  plain_waiting_.push_back({std::move(batch), due});
}

void Store::sync_plain(const shard::PlainBatch& batch) {
  if (failure_) {
    answer(batch.shard, true,
           [ticket = batch.ticket, error = *failure_](LogStoreEvents& events) { events.plain_written(ticket, error); });
    return;
  }
  for (const auto& change : batch.changes) {
    if (change.value) {
      plain_[{change.table, change.key}] = *change.value;
    } else {
      plain_.erase({change.table, change.key});
    }
  }
  answer(batch.shard, true, [ticket = batch.ticket](LogStoreEvents& events) { events.plain_written(ticket, {}); });
}

void Store::load_conversation(ShardId shard, std::string name) {
  ++reads_;
  if (reads_fail_) {
    answer(shard, false, [name](LogStoreEvents& events) { events.conversation_loaded(name, StorageError::Failed); });
    return;
  }
  answer(shard, false,
         [name, loaded = load(name)](LogStoreEvents& events) { events.conversation_loaded(name, loaded); });
}

void Store::load_session(ShardId shard, std::string client_id) {
  ++reads_;
  if (reads_fail_) {
    answer(shard, false, [client_id](LogStoreEvents& events) {
      events.session_loaded(client_id, Result<std::optional<shard::StoredSession>>(StorageError::Failed));
    });
    return;
  }
  std::optional<shard::StoredSession> found;
  if (const auto stored = sessions_.find(client_id); stored != sessions_.end() && !stored->second.state.empty()) {
    found = stored->second;
  }
  answer(shard, false, [client_id, found](LogStoreEvents& events) { events.session_loaded(client_id, found); });
}

void Store::list_sessions(ShardId shard, ListSessionsRequest request) {
  ++reads_;
  shard::SessionList list;
  for (const auto& stored : sessions()) shard::list_session(list, shard, request, stored);
  answer(shard, false, [token = request.token, list, fails = reads_fail_](LogStoreEvents& events) {
    events.sessions_listed(token, fails ? Result<shard::SessionList>(StorageError::Failed) : list);
  });
}

void Store::read_entries(ShardId shard, ReadRequest request) {
  ++reads_;
  // The disk may be looked at now or later: what is committed meanwhile may be in the answer or not.
  if (reads_fail_) {
    answer(shard, false,
           [token = request.token](LogStoreEvents& events) { events.entries_read(token, StorageError::Failed); });
  } else if (dice_.one_in(2)) {
    answer(shard, false,
           [token = request.token, page = read(request)](LogStoreEvents& events) { events.entries_read(token, page); });
  } else {
    answer(shard, false,
           [this, request](LogStoreEvents& events) { events.entries_read(request.token, read(request)); });
  }
}

std::optional<shard::StoredId> Store::find_id(ShardId /*shard*/, ConversationNumber conversation, std::string_view from,
                                              std::string_view id) {
  const StoredEntries* found = find(conversation);
  if (found == nullptr) return std::nullopt;
  for (std::size_t i = found->entries.size(); i-- > 0;) {
    const format::EntryRecord& entry = **found->entries[i];
    if (found->positions[i] > materialised_ || !entry.id_from_client) continue;
    if (entry.from == from && entry.id == id) return shard::StoredId{entry.seq, entry.ts, entry.kind};
  }
  return std::nullopt;
}

LogStoreEvents::LoadedConversation Store::load(const std::string& name) const {
  LogStoreEvents::LoadedConversation loaded{.name = name, .log_end = {lsn_}};
  const auto found = conversations_.find(name);
  if (found == conversations_.end()) return loaded;
  loaded.conversation = found->second.stored;
  if (faults.hides_head && loaded.conversation->head.value > 1) --loaded.conversation->head.value;
  load_members(found->second, loaded);
  std::set<std::string> users;
  for (const auto& [user, moves] : found->second.marks) users.insert(user);
  for (const auto& entry : found->second.entries) users.insert(std::string((*entry)->from));
  for (const std::string& user : users) {
    const format::Mark mark = mark_of(found->second, user, materialised_, Lsn{~std::uint64_t{0}});
    const auto& moves = found->second.marks;
    const auto of = moves.find(user);
    const bool group_moved = of != moves.end() && format::is_share(user) && of->second.back().first > materialised_;
    if (mark != format::Mark{} || group_moved) loaded.marks.push_back({user, mark});
  }
  for (std::size_t i = 0; i < found->second.entries.size(); ++i) {
    const auto& entry = found->second.entries[i];
    const bool wanted = (*entry)->id_from_client || (*entry)->kind != format::EntryKind::Message;
    if (found->second.positions[i] > materialised_ && wanted) loaded.unmaterialised.push_back(entry);
  }
  return loaded;
}

shard::ReadPage Store::read(const ReadRequest& request) {
  shard::ReadPage page;
  const StoredEntries* found = find(request.conversation);
  if (found == nullptr) return page;
  std::size_t bytes = 0;
  const Seq first = std::max(request.first, found->stored.oldest);
  const Seq last = std::min(request.last, found->stored.head);
  for (Seq seq = first; seq <= last; seq = seq.next()) {
    if (found->corrupt.contains(seq.value)) {
      page.corrupt.push_back(seq);
      continue;
    }
    if (page.entries.size() >= request.entries_max || bytes > request.bytes_max) break;
    page.entries.push_back(found->entries[seq.value - 1]);
    bytes += (*page.entries.back())->payload.size();
  }
  return page;
}

// -- For the world --

void Store::answer(ShardId shard, bool ordered, std::function<void(LogStoreEvents&)> deliver) {
  Instant due = clock_.now + dice_.up_to(latency_);
  for (const Answer& one : answers_) {
    if (ordered && one.ordered && one.shard == shard) due = std::max(due, one.due);
  }
  answers_.push_back({shard, due, ordered, std::move(deliver)});
}

void Store::work(ShardId shard, LogStoreEvents& events) {
  while (!waiting_.empty() && waiting_.front().due <= clock_.now) {
    auto batch = std::move(waiting_.front().batch);
    waiting_.pop_front();
    sync(batch);
  }
  while (!plain_waiting_.empty() && plain_waiting_.front().due <= clock_.now) {
    sync_plain(plain_waiting_.front().batch);
    plain_waiting_.pop_front();
  }
  if (materialises_ && materialised_.value < lsn_ && dice_.one_in(materialises_one_in_)) materialise();
  for (std::size_t i = 0; i < answers_.size();) {
    if (answers_[i].shard != shard || answers_[i].due > clock_.now) {
      ++i;
      continue;
    }
    const auto deliver = std::move(answers_[i].deliver);
    answers_.erase(answers_.begin() + static_cast<std::ptrdiff_t>(i));
    deliver(events);
  }
}

std::optional<Instant> Store::next_due() const {
  std::optional<Instant> due;
  if (!waiting_.empty()) due = waiting_.front().due;
  if (!plain_waiting_.empty()) due = due ? std::min(*due, plain_waiting_.front().due) : plain_waiting_.front().due;
  for (const Answer& one : answers_) due = due ? std::min(*due, one.due) : one.due;
  return due;
}

void Store::crash() {
  const std::size_t durable = dice_.below(waiting_.size() + 1);
  for (std::size_t i = 0; i < durable; ++i) sync(waiting_[i].batch);
  waiting_.clear();
  const std::size_t plain_durable = dice_.below(plain_waiting_.size() + 1);
  for (std::size_t i = 0; i < plain_durable; ++i) sync_plain(plain_waiting_[i].batch);
  plain_waiting_.clear();
  answers_.clear();
  failed_generations_.clear();
  if (shared_) return forget_commits();
  // The only voter of a slot has committed whatever is durable.
  for (const auto& [slot, log] : slots_) committed(slot, {log.records.size()});
}

/// The file with the commit indexes is never synced; what is materialised was committed.
void Store::forget_commits() {
  conversations_.clear();
  names_.clear();
  sessions_.clear();
  users_.clear();
  fed_.clear();
  erasures_.clear();
  for (auto& [slot, log] : slots_) {
    std::uint64_t known = log.base.value;
    while (known < log.commit.value && log.records[known].lsn <= materialised_) ++known;
    log.commit = {known + dice_.below(log.commit.value - known + 1)};
    log.applied = {};
    apply(slot, log);
  }
}

void Store::materialise() {
  Lsn upto{lsn_};
  for (const auto& [slot, log] : slots_) {
    if (log.applied.value < log.records.size())
      upto = std::min(upto, Lsn{log.records[log.applied.value].lsn.value - 1});
  }
  if (upto <= materialised_) return;
  materialised_ = upto;
  for (ShardId shard = 0; shard < shards_; ++shard) {
    answer(shard, false, [upto = materialised_](LogStoreEvents& events) { events.materialised(upto); });
  }
}

void Store::corrupt(const std::string& conversation, Seq seq) {
  conversations_.at(conversation).corrupt.insert(seq.value);
}

void Store::cut(const std::string& conversation, Seq oldest) { conversations_.at(conversation).stored.oldest = oldest; }

// -- Appending --

void Store::sync(shard::AppendBatch& batch) {
  const auto failed = failed_generations_.find(batch.shard);
  const bool behind_failure = failed != failed_generations_.end() && failed->second == batch.generation;
  if (failure_ || behind_failure) {
    failed_generations_[batch.shard] = batch.generation;
    const StorageError error = failure_.value_or(StorageError::DiskFull);
    answer(batch.shard, true,
           [ticket = batch.ticket, error](LogStoreEvents& events) { events.appended(ticket, error); });
    return;
  }
  const Lsn first{lsn_ + 1};
  for (const auto& record : batch.records) {
    ++lsn_;
    place(record);
  }
  for (const format::HardStateRow& row : batch.hard_states) keep(row);
  // Else nobody would know, once the records are lost, in which terms something was promised.
  for (const auto& record : batch.records) {
    const auto position = format::decode_trusted_position(*record);
    if (position->term > slots_[position->slot].term) violation("a record is durable and its term isn't");
  }
  if (faults.answers_before_sync) return;
  answer(batch.shard, true, [ticket = batch.ticket, first](LogStoreEvents& events) { events.appended(ticket, first); });
}

void Store::keep(const format::HardStateRow& row) {
  SlotLog& log = slots_[row.slot];
  if (row.term < log.term) violation("a slot's term has fallen");
  log.term = row.term;
  if (!faults.forgets_votes) log.vote = row.vote;
  if (faults.forgets_losses) return;
  const Term lost = std::exchange(log.lost_before, row.lost_before);
  if (row.lost_before > lost) violation("a slot has lost something without having been asked");
  if (row.lost_before < lost && !has_everything_up_to(log, log.commit)) violation("a slot forgets that it isn't whole");
  log.lost_upto = {.term = row.lost_upto.term, .index = row.lost_upto.index};
}

void Store::place(const std::shared_ptr<const std::string>& bytes) {
  const auto record = format::decode_record(*bytes);
  if (!record) return violation("a record that can't be read was appended");
  const auto& position = record->position;
  SlotLog& log = slots_[position.slot];
  const std::uint64_t before = position.index.value - 1;
  if (before > log.records.size()) return violation("a slot's records don't follow each other");
  if (before < log.commit.value) return violation("a committed record was replaced");
  log.records.resize(before);
  if (before > 0 && position.term < log.records.back().term) violation("a slot's term has fallen");
  log.records.push_back({.lsn = {lsn_}, .term = position.term, .bytes = bytes});
}

void Store::apply(Slot slot, SlotLog& log) {
  while (log.applied < log.commit) {
    const SlotLog::Record& one = log.records[log.applied.value];
    log.applied = log.applied.next();
    if (on_committed) on_committed(slot, log.applied, *one.bytes);
    apply_body(*format::decode_trusted_record(*one.bytes), *one.bytes, one.lsn);
  }
}

bool Store::apply_session(const format::Record& record, Sessions& sessions) {
  if (const auto* session = std::get_if<format::SessionRecord>(&record.body)) {
    shard::StoredSession& stored = sessions[std::string(session->client_id)];
    stored.client_id = session->client_id;
    stored.user = session->user;
    stored.expiry_interval = session->expiry_interval;
    stored.disconnected = session->disconnected;
    stored.state = session->state;
    stored.owner = session->owner;
    stored.generation = session->generation;
  } else if (const auto* ended = std::get_if<format::SessionEndRecord>(&record.body)) {
    sessions.erase(std::string(ended->client_id));
  } else if (const auto* cursor = std::get_if<format::CursorRecord>(&record.body)) {
    shard::StoredSession& stored = sessions[std::string(cursor->client_id)];
    stored.client_id = cursor->client_id;
    auto place = std::ranges::find(stored.cursors, cursor->topic, &shard::StoredSession::Cursor::topic);
    if (place == stored.cursors.end()) place = stored.cursors.insert(place, {std::string(cursor->topic), {}, {}});
    place->epoch = cursor->epoch;
    place->acknowledged = cursor->acknowledged;
  } else {
    return false;
  }
  return true;
}

void Store::apply_body(const format::Record& record, const std::string& bytes, Lsn lsn) {
  if (apply_session(record, sessions_)) return;
  if (const auto* created = std::get_if<format::ConversationRecord>(&record.body)) {
    const auto number = conversation_number(record.position.slot, record.position.index);
    const std::string name(created->name);
    if (conversations_.contains(name)) return violation("conversation " + name + " was created twice");
    names_[number] = name;
    conversations_[name].stored = {.number = number,
                                   .name = name,
                                   .epoch = created->epoch,
                                   .oldest = {1},
                                   .head = {0},
                                   .last_ts = created->created,
                                   .type = created->type,
                                   .visibility = created->visibility};
  } else if (const auto* entry = std::get_if<format::EntryRecord>(&record.body)) {
    apply_entry(*entry, bytes, lsn);
  } else if (const auto* retention = std::get_if<format::RetentionRecord>(&record.body)) {
    StoredEntries* found = find(retention->conversation);
    if (found == nullptr || retention->oldest > found->stored.head.next()) return violation("retention of nothing");
    found->stored.oldest = std::max(found->stored.oldest, retention->oldest);
  } else if (const auto* user = std::get_if<format::UserConversationRecord>(&record.body)) {
    apply_user(*user);
  } else if (const auto* fed = std::get_if<format::FedRecord>(&record.body)) {
    Seq& known = fed_.try_emplace({fed->conversation, std::string(fed->user)}).first->second;
    known = std::max(known, fed->changed);
  } else if (const auto* marks = std::get_if<format::MarksRecord>(&record.body)) {
    apply_marks(*marks, lsn);
  } else if (const auto* erasure = std::get_if<format::ErasureRecord>(&record.body)) {
    apply_erasure(record.position.slot, *erasure, lsn);
  }
}

void Store::apply_entry(const format::EntryRecord& entry, const std::string& bytes, Lsn lsn) {
  StoredEntries* found = find(entry.conversation);
  if (found == nullptr) return violation("an entry of no conversation was appended");
  auto& stored = found->stored;
  if (entry.seq != stored.head.next()) violation("seq " + std::to_string(entry.seq.value) + " doesn't follow the head");
  if (entry.ts < stored.last_ts) violation("ts has fallen");
  for (const auto& earlier : found->entries) {
    if (entry.id_from_client && (*earlier)->id_from_client && (*earlier)->from == entry.from &&
        (*earlier)->id == entry.id) {
      violation("id " + std::string(entry.id) + " was appended twice");
    }
  }
  stored.head = entry.seq;
  stored.last_ts = entry.ts;
  found->entries.push_back(*format::Entry::from_bytes(bytes));
  found->positions.push_back(lsn);
  amend(found->entries, entry);
}

/// What an edit or redaction makes of the entries before it.
void Store::amend(std::vector<format::EntryPtr>& entries, const format::EntryRecord& amendment) {
  const bool redacts = amendment.kind == format::EntryKind::Redact;
  if (!redacts && amendment.kind != format::EntryKind::Edit) return;
  if (amendment.ref >= amendment.seq) return violation("an edit or redaction of what came later was appended");
  format::EntryPtr& message = entries[amendment.ref.value - 1];
  if ((*message)->kind != format::EntryKind::Message) violation("an edit or redaction of what is no message");
  if ((*message)->redacted) violation("an edit or redaction of a message that was redacted was appended");
  message = redacts ? format::redacted(*message, amendment.seq) : format::edited(*message, amendment);
  for (format::EntryPtr& edit : entries) {
    const bool is_edit = (*edit)->kind == format::EntryKind::Edit && (*edit)->ref == amendment.ref;
    if (redacts && is_edit) edit = format::redacted(*edit, amendment.seq);
  }
}

Store::StoredEntries* Store::find(ConversationNumber number) {
  const auto name = names_.find(number);
  return name == names_.end() ? nullptr : &conversations_.at(name->second);
}

// -- What is durable --

std::vector<format::EntryPtr> Store::history(const std::string& conversation) const {
  const auto found = conversations_.find(conversation);
  return found == conversations_.end() ? std::vector<format::EntryPtr>() : found->second.entries;
}

std::optional<shard::StoredConversation> Store::conversation(const std::string& name) const {
  const auto found = conversations_.find(name);
  return found == conversations_.end() ? std::nullopt : std::optional(found->second.stored);
}

std::vector<shard::StoredSession> Store::list(const Sessions& sessions) {
  std::vector<shard::StoredSession> list;
  for (const auto& [id, session] : sessions) {
    if (!session.state.empty()) list.push_back(session);
  }
  return list;
}

std::vector<shard::StoredSession> Store::sessions() const { return list(sessions_); }

std::vector<shard::StoredSession> Store::restorable_sessions() const {
  Sessions all = sessions_;
  for (const auto& [slot, log] : slots_) {
    for (std::size_t i = log.applied.value; i < log.records.size(); ++i) {
      apply_session(*format::decode_trusted_record(*log.records[i].bytes), all);
    }
  }
  return list(all);
}

std::vector<shard::StoredSlot> Store::slots() const {
  std::vector<shard::StoredSlot> list;
  for (const auto& [slot, log] : slots_) {
    list.push_back(describe(slot, log));
    if (faults.forgets_losses) list.back().lost_before = {};
  }
  return list;
}

shard::StoredSlot Store::describe(Slot slot, const SlotLog& log) {
  shard::StoredSlot stored{.slot = slot,
                           .term = log.term,
                           .vote = log.vote,
                           .base = {},
                           .terms = {},
                           .last = {log.records.size()},
                           .commit = log.commit,
                           .replicas = {},
                           .lost_before = log.lost_before,
                           .lost_upto = log.lost_upto};
  if (log.base.value > 0) stored.base = {.term = log.records[log.base.value - 1].term, .index = log.base};
  for (std::size_t i = 0; i < log.records.size(); ++i) {
    const SlotLog::Record& one = log.records[i];
    const bool in_log = i >= log.base.value;
    if (in_log && (stored.terms.empty() || stored.terms.back().term != one.term)) {
      stored.terms.push_back({.term = one.term, .index = {i + 1}});
    }
    const auto record = format::decode_trusted_record(*one.bytes);
    if (const auto* named = std::get_if<format::ReplicasRecord>(&record->body)) {
      if (!in_log) stored.replicas.clear();
      stored.replicas.push_back(
          {.index = {i + 1}, .voters = format::nodes_of(named->voters), .learners = format::nodes_of(named->learners)});
    }
  }
  return stored;
}

}  // namespace parley::simulation
