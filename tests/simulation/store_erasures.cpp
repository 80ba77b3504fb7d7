#include <algorithm>

#include "tests/simulation/store.hpp"

/// The part of the store that knows of users who are erased. Marks and users' lists are answered from what is left.
namespace parley::simulation {

using shard::LogStoreEvents;
using shard::ShardId;
using State = format::ErasureState;

void Store::apply_erasure(Slot slot, const format::ErasureRecord& record, Lsn lsn) {
  erasures_[slot].emplace_back(lsn, shard::StoredErasure{.slot = slot,
                                                         .user = std::string(record.user),
                                                         .started = record.started,
                                                         .state = record.state,
                                                         .conversation = record.conversation,
                                                         .seq = record.seq,
                                                         .redacted = record.redacted});
  if (record.state == State::Finished) users_.erase(std::string(record.user));
  if (record.state == State::Open) return;
  for (auto& [name, conversation] : conversations_) {
    if (slot_of(conversation.stored.number) == slot) conversation.marks.erase(std::string(record.user));
  }
}

std::vector<shard::StoredErasure> Store::erasures(ShardId /*shard*/, Slot slot) {
  std::map<std::string, shard::StoredErasure> last;
  for (const auto& [lsn, row] : erasures_[slot]) {
    if (lsn > materialised_) break;
    const auto found = last.find(row.user);
    const bool is_old = found != last.end() && row.started < found->second.started;
    if (!is_old) last[row.user] = row;
  }
  std::vector<shard::StoredErasure> list;
  for (auto& [user, row] : last) {
    if (row.state != State::Forgotten) list.push_back(row);
  }
  return list;
}

void Store::find_erasure(ShardId shard, ErasureRequest request) {
  answer(shard, false, [this, request = std::move(request)](LogStoreEvents& events) {
    if (reads_fail_) return events.erasure_found(request.token, StorageError::Failed);
    events.erasure_found(request.token, find_erased(request));
  });
}

/// Looks at few rows at a time, so that there is always more.
shard::ErasurePage Store::find_erased(const ErasureRequest& request) {
  shard::ErasurePage page;
  std::size_t left = 1 + dice_.below(20);
  for (const auto& [number, name] : names_) {
    if (slot_of(number) != request.slot || number < request.conversation) continue;
    const StoredEntries& conversation = conversations_.at(name);
    const Members members = members_of(conversation, materialised_);
    shard::ErasurePage::Found found{.name = name, .is_member = members.contains(request.user), .messages = {}};
    Seq seq = number == request.conversation ? std::max(request.seq, Seq{1}) : Seq{1};
    for (; seq <= conversation.stored.head && left > 0; seq = seq.next(), --left) {
      if (conversation.positions[seq.value - 1] > materialised_) break;
      const format::EntryPtr& entry = conversation.entries[seq.value - 1];
      if (redacted_at(conversation, seq) <= materialised_ || (*entry)->from != request.user) continue;
      if ((*entry)->kind == format::EntryKind::Message && seq >= conversation.stored.oldest) {
        found.messages.push_back(seq);
      }
    }
    if (found.is_member || !found.messages.empty()) page.found.push_back(std::move(found));
    if (left == 0) {
      page.conversation = number;
      page.seq = seq;
      return page;
    }
  }
  return page;
}

/// When the store knows that the message is redacted; its content goes at once here.
Lsn Store::redacted_at(const StoredEntries& conversation, Seq message) {
  for (std::size_t i = 0; i < conversation.entries.size(); ++i) {
    const format::EntryRecord& entry = **conversation.entries[i];
    if (entry.kind == format::EntryKind::Redact && entry.ref == message) return conversation.positions[i];
  }
  return {~std::uint64_t{0}};
}

void Store::find_sessions(ShardId shard, SessionsRequest request) {
  answer(shard, false, [this, request = std::move(request)](LogStoreEvents& events) {
    if (reads_fail_) return events.sessions_found(request.token, StorageError::Failed);
    shard::ErasureSessions found;
    std::size_t left = 1 + dice_.below(5);
    for (auto session = sessions_.lower_bound(request.from); session != sessions_.end(); ++session) {
      if (left-- == 0) {
        found.next = session->first;
        break;
      }
      if (session->second.user == request.user) found.client_ids.push_back(session->first);
    }
    events.sessions_found(request.token, std::move(found));
  });
}

}  // namespace parley::simulation
