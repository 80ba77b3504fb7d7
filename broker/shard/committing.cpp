#include "broker/shard/committing.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "broker/shard/shard.hpp"

namespace parley::shard {

void Committing::committed(const std::vector<WaitingRecord>& records) {
  // Entries of one conversation stand together for its followers, but outcomes keep the order of the log.
  std::vector<std::pair<Hosted*, std::vector<format::EntryPtr>>> fresh;
  for (const WaitingRecord& one : records) {
    if (const auto* creation = std::get_if<CreationWaiting>(&one.waiting)) {
      shard_.hosting().become_ready(*creation->hosted);
      shard_.groups().created(*creation->hosted);
      shard_.send_outcome(creation->origin, {});
    } else if (const auto* entry = std::get_if<EntryWaiting>(&one.waiting)) {
      Hosted& hosted = *entry->hosted;
      const format::EntryRecord& record = **entry->entry;
      hosted.conversation->committed(record.seq, record.ts);
      const bool is_message = record.kind == format::EntryKind::Message;
      if (record.id_from_client || !is_message) keep(hosted, record, one.lsn);
      if (!is_message) shard_.groups().committed(hosted, record);
      shard_.marks().sent(hosted, record, one.lsn);
      if (fresh.empty() || fresh.back().first != &hosted) fresh.push_back({&hosted, {}});
      fresh.back().second.push_back(entry->entry);
      shard_.send_outcome(entry->origin, {.seq = record.seq, .ts = record.ts, .id = std::string(record.id)});
    }
    last_ = std::max(last_, one.lsn);
  }
  for (auto& [hosted, entries] : fresh) {
    tell_followers(*hosted, entries);
    if (!hosted->repeats.empty()) release_repeats(*hosted);
    shard_.share_homes().committed(*hosted, entries);
  }
}

void Committing::tell_followers(Hosted& hosted, const std::vector<format::EntryPtr>& entries) {
  for (std::size_t i = 0; i < hosted.followers.size();) {
    const ShardId follower = hosted.followers[i];
    if (follower == shard_.id()) {
      shard_.feeds().committed(hosted.name, entries);
    } else {
      shard_.send(follower, PeerEvent{CommittedEvent{hosted.name, entries}});
    }
    // This shard may have unfollowed: an entry can end the last subscription there.
    if (i < hosted.followers.size() && hosted.followers[i] == follower) ++i;
  }
}

std::vector<Committing::RolledBack> Committing::rolled_back(const std::vector<WaitingRecord>& records) {
  std::vector<RolledBack> list;
  std::unordered_map<const Hosted*, std::size_t> places;
  const auto place = [&](Hosted* hosted) {
    const auto [found, added] = places.try_emplace(hosted, list.size());
    if (added) list.push_back({.hosted = hosted, .creation = false, .tip = hosted->conversation->tip()});
    return found->second;
  };
  for (const WaitingRecord& one : records) {
    if (const auto* entry = std::get_if<EntryWaiting>(&one.waiting)) {
      RolledBack& touched = list[place(entry->hosted)];
      touched.tip = std::min(touched.tip, Seq{(*entry->entry)->seq.value - 1});
    } else if (const auto* creation = std::get_if<CreationWaiting>(&one.waiting)) {
      list[place(creation->hosted)].creation = true;
    }
  }
  return list;
}

void Committing::refused(const std::vector<WaitingRecord>& records, chat::Refusal refusal) {
  const std::vector<RolledBack> touched = rolled_back(records);
  // First everything goes back, then it is told: whoever hears of it may at once propose again.
  std::vector<Origin> refused;
  std::vector<std::pair<std::string, ShardId>> unanswered;
  for (const RolledBack& one : touched) {
    Hosted& hosted = *one.hosted;
    hosted.conversation->rolled_back(one.tip);
    hosted.group->rolled_back(one.tip);
    // A repeat of an entry that isn't stored shares its fate.
    std::erase_if(hosted.repeats, [&](Hosted::Repeat& repeat) {
      if (repeat.seq <= one.tip) return false;
      refused.push_back(std::move(repeat.origin));
      return true;
    });
    if (!one.creation) continue;
    for (const ShardId follower : shard_.hosting().become_absent(hosted, refusal)) {
      unanswered.emplace_back(hosted.name, follower);
    }
  }
  for (const auto& [name, follower] : unanswered) {
    shard_.send(follower, PeerEvent{FollowedEvent{.conversation = name, .refusal = refusal}});
  }
  for (const WaitingRecord& one : records) {
    const auto* entry = std::get_if<EntryWaiting>(&one.waiting);
    const auto* creation = std::get_if<CreationWaiting>(&one.waiting);
    if (creation != nullptr) shard_.send_outcome(creation->origin, {.refusal = refusal});
    if (entry == nullptr) continue;
    // What came of a command is no command: its client is told to give it again.
    const bool is_message = (*entry->entry)->kind == format::EntryKind::Message;
    if (is_message && refusal == chat::Refusal::NotLeader && !entry->origin.other_node) {
      propose_again(*entry);
    } else {
      shard_.send_outcome(entry->origin, {.refusal = refusal});
    }
  }
  for (const Origin& origin : refused) shard_.send_outcome(origin, {.refusal = refusal});
}

/// The next leader may have it or not: it is sent there again, and recognised by its id.
void Committing::propose_again(const EntryWaiting& waiting) {
  shard_.remote_homes().propose(waiting.entry->position().slot,
                                proposal_of(waiting.hosted->name, **waiting.entry, waiting.origin), true);
}

void Committing::loaded(Lsn log_end) { last_ = std::max(last_, log_end); }

void Committing::restore(const Hosted& hosted, const format::EntryRecord& entry) { keep(hosted, entry, last_); }

void Committing::keep(const Hosted& hosted, const format::EntryRecord& entry, Lsn lsn) {
  unmaterialised_.push_back({lsn, hosted.name, std::string(entry.from), std::string(entry.id), entry.seq});
}

/// The repeats whose first use is committed by now.
void Committing::release_repeats(Hosted& hosted) {
  const Seq head = hosted.conversation->head();
  std::erase_if(hosted.repeats, [&](Hosted::Repeat& repeat) {
    if (repeat.seq > head) return false;
    shard_.send_outcome(repeat.origin,
                        {.seq = repeat.seq, .ts = repeat.ts, .id = std::move(repeat.id), .duplicate = true});
    return true;
  });
}

void Committing::materialised(Lsn upto) {
  materialised_ = std::max(materialised_, upto);
  while (!unmaterialised_.empty() && unmaterialised_.front().lsn <= upto) {
    const UnmaterialisedId& id = unmaterialised_.front();
    Hosted* hosted = shard_.hosting().find_known(id.conversation);
    if (hosted != nullptr && hosted->conversation) {
      hosted->conversation->forget(id.from, id.id);
      hosted->group->materialised(id.seq);
      // What was looked up meanwhile may be older than that.
      if (hosted->lookups.empty()) hosted->conversation->materialised(id.seq);
      Marks::materialised(*hosted, id.seq);
    }
    unmaterialised_.pop_front();
  }
}

}  // namespace parley::shard
