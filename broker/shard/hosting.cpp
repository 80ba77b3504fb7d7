#include "broker/shard/hosting.hpp"

#include <algorithm>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "broker/chat/access.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {

chat::Refusal refusal_of(boost::system::error_code error) {
  using replication::ReplicationError;
  if (error.category() == chat::refusal_category()) return static_cast<chat::Refusal>(error.value());
  if (error == make_error_code(StorageError::DiskFull)) return chat::Refusal::DiskFull;
  if (error == make_error_code(ReplicationError::NoMajority)) return chat::Refusal::NoMajority;
  if (error.category() == replication::replication_category()) return chat::Refusal::NotLeader;
  return chat::Refusal::StorageFailed;
}

Hosted* Hosting::find_or_load(std::string_view conversation) {
  auto found = hosted_.find(conversation);
  if (found == hosted_.end()) {
    const Slot slot = slot_of_name(conversation, shard_.options());
    if (!shard_.may_host(slot)) return nullptr;
    found = hosted_.emplace(std::string(conversation), std::make_unique<Hosted>()).first;
    Hosted& hosted = *found->second;
    hosted.name = found->first;
    hosted.slot = slot;
    if (by_slot_.empty()) by_slot_.resize(shard_.options().slots);
    hosted.place = by_slot_[slot.value].size();
    by_slot_[slot.value].push_back(&hosted);
    // Answers of one name can't be told apart: while an old one is awaited, it is asked again when that has come.
    if (!stale_loads_.contains(hosted.name)) load(hosted.name);
  }
  found->second->used = true;
  return found->second.get();
}

void Hosting::load(const std::string& conversation) { shard_.store().load_conversation(shard_.id(), conversation); }

void Hosting::forget(Hosted& hosted) {
  auto& others = by_slot_[hosted.slot.value];
  others[hosted.place] = others.back();
  others[hosted.place]->place = hosted.place;
  others.pop_back();
}

void Hosting::propose(std::string_view conversation, const chat::EntryDraft& draft, Origin origin) {
  Hosted* hosted = find_or_load(conversation);
  if (hosted != nullptr && hosted->state != Hosted::State::Loading) {
    propose_ready(*hosted, draft, std::move(origin));
    return;
  }
  ProposeEvent proposal{.conversation = std::string(conversation),
                        .kind = draft.kind,
                        .from = std::string(draft.from),
                        .id = std::string(draft.id),
                        .id_from_client = draft.id_from_client,
                        .properties = std::string(draft.properties),
                        .payload = std::string(draft.payload),
                        .origin = std::move(origin)};
  if (hosted != nullptr) {
    hosted->proposals_waiting.push_back(std::move(proposal));
  } else {
    propose_elsewhere(slot_of_name(conversation, shard_.options()), std::move(proposal));
  }
}

void Hosting::propose(ProposeEvent proposal) {
  propose(proposal.conversation, draft_of(proposal), std::move(proposal.origin));
}

void Hosting::propose_ready(Hosted& hosted, const chat::EntryDraft& draft, Origin origin) {
  if (hosted.state == Hosted::State::Absent) {
    if (!shard_.options().auto_create) {
      shard_.send_outcome(origin, {.refusal = chat::Refusal::NotAuthorized});
      return;
    }
    if (!create(hosted, draft.from)) {
      shard_.send_outcome(origin, {.refusal = chat::Refusal::NotLeader});
      return;
    }
  }
  chat::Conversation& conversation = *hosted.conversation;
  const auto& state = conversation.state();
  if (!chat::may(chat::Right::Post, {draft.from, hosted.name, state.type, state.visibility})) {
    shard_.send_outcome(origin, {.refusal = chat::Refusal::NotAuthorized});
    return;
  }
  if (shard_.replicas().waiting_bytes() > shard_.options().pending_bytes_max) {
    shard_.send_outcome(origin, {.refusal = chat::Refusal::Busy});
    return;
  }
  if (draft.id_from_client) {
    auto use = conversation.recent_use(draft.from, draft.id);
    if (!use) {
      if (const auto stored = shard_.store().find_id(shard_.id(), state.number, draft.from, draft.id)) {
        use = chat::FirstUse{stored->seq, stored->ts};
      }
    }
    if (use && conversation.still_remembered(*use, shard_.wall())) {
      if (use->seq > conversation.head()) {
        hosted.repeats.push_back({use->seq, use->ts, std::string(draft.id), std::move(origin)});
      } else {
        shard_.send_outcome(origin, {.seq = use->seq, .ts = use->ts, .id = std::string(draft.id), .duplicate = true});
      }
      return;
    }
  }
  const auto position = shard_.replicas().propose(hosted.slot);
  if (!position) {
    shard_.send_outcome(origin, {.refusal = refusal_of(position.error())});
    return;
  }
  const auto place = conversation.propose(draft, shard_.wall());
  auto entry = format::Entry::make(*position, {.conversation = state.number,
                                               .seq = place.seq,
                                               .ts = place.ts,
                                               .kind = draft.kind,
                                               .id_from_client = draft.id_from_client,
                                               .ref = draft.ref,
                                               .from = draft.from,
                                               .id = draft.id,
                                               .properties = draft.properties,
                                               .payload = draft.payload});
  auto bytes = std::shared_ptr<const std::string>(entry, &entry->bytes());
  shard_.replicas().add(*position, std::move(bytes), EntryWaiting{&hosted, std::move(entry), std::move(origin)});
}

bool Hosting::create(Hosted& hosted, std::string_view creator) {
  const auto position = shard_.replicas().propose(hosted.slot);
  if (!position) return false;
  chat::Conversation::State state{.number = conversation_number(hosted.slot, position->index),
                                  .name = hosted.name,
                                  .epoch = {shard_.random().next() | 1},
                                  .last_ts = shard_.wall()};
  auto record = format::encode_record(*position, format::ConversationRecord{.name = state.name,
                                                                            .epoch = state.epoch,
                                                                            .created = state.last_ts,
                                                                            .type = state.type,
                                                                            .visibility = state.visibility,
                                                                            .creator = creator});
  shard_.replicas().add(*position, std::make_shared<const std::string>(std::move(record)), CreationWaiting{&hosted});
  hosted.conversation = std::make_unique<chat::Conversation>(std::move(state));
  hosted.state = Hosted::State::Creating;
  return true;
}

void Hosting::follow(const std::string& conversation, ShardId follower) {
  Hosted* found = find_or_load(conversation);
  if (found == nullptr) {
    shard_.remote_homes().follow(slot_of_name(conversation, shard_.options()), conversation, follower);
    return;
  }
  Hosted& hosted = *found;
  if (std::ranges::find(hosted.followers, follower) == hosted.followers.end()) hosted.followers.push_back(follower);
  if (hosted.state == Hosted::State::Absent && shard_.options().auto_create) create(hosted, "");
  if (hosted.state == Hosted::State::Ready || hosted.state == Hosted::State::Absent) {
    answer_follower(hosted, follower, chat::Refusal::None);
  } else {
    hosted.followers_waiting.push_back(follower);
  }
}

void Hosting::unfollow(const std::string& conversation, ShardId follower) {
  const auto found = hosted_.find(conversation);
  if (found == hosted_.end()) {
    shard_.remote_homes().unfollow(slot_of_name(conversation, shard_.options()), conversation, follower);
    return;
  }
  std::erase(found->second->followers, follower);
}

void Hosting::answer_follower(const Hosted& hosted, ShardId follower, chat::Refusal refusal) {
  FollowedEvent event{.conversation = hosted.name, .refusal = refusal};
  if (hosted.state == Hosted::State::Ready) {
    copy_standing(event, hosted.conversation->state());
  }
  shard_.send(follower, PeerEvent{std::move(event)});
}

void Hosting::loaded(LogStoreEvents::LoadedConversation loaded) {
  const auto found = hosted_.find(loaded.name);
  if (stale_loads_.erase(loaded.name) != 0) {
    if (found != hosted_.end()) load(loaded.name);
    return;
  }
  if (found == hosted_.end() || found->second->state != Hosted::State::Loading) return;
  Hosted& hosted = *found->second;
  if (!loaded.conversation) {
    hosted.state = Hosted::State::Absent;
    if (!hosted.followers_waiting.empty() && shard_.options().auto_create) create(hosted, "");
    if (hosted.state == Hosted::State::Absent) {
      for (const ShardId follower : std::exchange(hosted.followers_waiting, {})) {
        answer_follower(hosted, follower, chat::Refusal::None);
      }
    }
  } else {
    chat::Conversation::State state{.name = hosted.name, .last_ts = loaded.conversation->last_ts};
    copy_standing(state, *loaded.conversation);
    hosted.conversation = std::make_unique<chat::Conversation>(std::move(state));
    last_ = std::max(last_, loaded.log_end);
    for (const auto& entry : loaded.unmaterialised) {
      const format::EntryRecord& record = **entry;
      hosted.conversation->remember(record.from, record.id, {record.seq, record.ts});
      unmaterialised_.push_back({last_, hosted.name, std::string(record.from), std::string(record.id)});
    }
    become_ready(hosted);
  }
  for (ProposeEvent& waiting : std::exchange(hosted.proposals_waiting, {})) {
    propose_ready(hosted, draft_of(waiting), std::move(waiting.origin));
  }
}

void Hosting::load_failed(const std::string& conversation) {
  const auto found = hosted_.find(conversation);
  stale_loads_.erase(conversation);
  if (found == hosted_.end() || found->second->state != Hosted::State::Loading) return;
  refuse_waiting(*found->second, chat::Refusal::StorageFailed);
  forget(*found->second);
  hosted_.erase(found);
}

void Hosting::refuse_waiting(Hosted& hosted, chat::Refusal refusal) {
  for (const ShardId follower : std::exchange(hosted.followers_waiting, {})) {
    answer_follower(hosted, follower, refusal);
    std::erase(hosted.followers, follower);
  }
  for (ProposeEvent& waiting : std::exchange(hosted.proposals_waiting, {})) {
    shard_.send_outcome(waiting.origin, {.refusal = refusal});
  }
}

void Hosting::become_ready(Hosted& hosted) {
  hosted.state = Hosted::State::Ready;
  for (const ShardId follower : std::exchange(hosted.followers_waiting, {})) {
    answer_follower(hosted, follower, chat::Refusal::None);
  }
}

void Hosting::committed(const std::vector<WaitingRecord>& records) {
  // Entries of one conversation stand together for its followers, but outcomes keep the order of the log.
  std::vector<std::pair<Hosted*, std::vector<format::EntryPtr>>> fresh;
  for (const WaitingRecord& one : records) {
    if (const auto* creation = std::get_if<CreationWaiting>(&one.waiting)) {
      become_ready(*creation->hosted);
    } else if (const auto* entry = std::get_if<EntryWaiting>(&one.waiting)) {
      Hosted& hosted = *entry->hosted;
      const format::EntryRecord& record = **entry->entry;
      hosted.conversation->committed(record.seq, record.ts);
      if (record.id_from_client) {
        unmaterialised_.push_back({one.lsn, hosted.name, std::string(record.from), std::string(record.id)});
      }
      if (fresh.empty() || fresh.back().first != &hosted) fresh.push_back({&hosted, {}});
      fresh.back().second.push_back(entry->entry);
      shard_.send_outcome(entry->origin, {.seq = record.seq, .ts = record.ts, .id = std::string(record.id)});
    }
    last_ = std::max(last_, one.lsn);
  }
  for (auto& [hosted, entries] : fresh) {
    for (const ShardId follower : hosted->followers) {
      if (follower == shard_.id()) {
        shard_.feeds().committed(hosted->name, entries);
      } else {
        shard_.send(follower, PeerEvent{CommittedEvent{hosted->name, entries}});
      }
    }
    if (!hosted->repeats.empty()) release_repeats(*hosted);
  }
}

std::vector<Hosting::RolledBack> Hosting::rolled_back(const std::vector<WaitingRecord>& records) {
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

void Hosting::refused(const std::vector<WaitingRecord>& records, chat::Refusal refusal) {
  const std::vector<RolledBack> touched = rolled_back(records);
  // First everything goes back, then it is told: whoever hears of it may at once propose again.
  std::vector<Origin> refused;
  std::vector<std::pair<std::string, ShardId>> unanswered;
  for (const RolledBack& one : touched) {
    Hosted& hosted = *one.hosted;
    hosted.conversation->rolled_back(one.tip);
    // A repeat of an entry that isn't stored shares its fate.
    std::erase_if(hosted.repeats, [&](Hosted::Repeat& repeat) {
      if (repeat.seq <= one.tip) return false;
      refused.push_back(std::move(repeat.origin));
      return true;
    });
    if (!one.creation) continue;
    hosted.state = Hosted::State::Absent;
    hosted.conversation.reset();
    for (const ShardId follower : std::exchange(hosted.followers_waiting, {})) {
      std::erase(hosted.followers, follower);
      unanswered.emplace_back(hosted.name, follower);
    }
  }
  for (const auto& [name, follower] : unanswered) {
    shard_.send(follower, PeerEvent{FollowedEvent{.conversation = name, .refusal = refusal}});
  }
  for (const WaitingRecord& one : records) {
    const auto* entry = std::get_if<EntryWaiting>(&one.waiting);
    if (entry == nullptr) continue;
    if (refusal == chat::Refusal::NotLeader && !entry->origin.other_node) {
      propose_again(*entry);
    } else {
      shard_.send_outcome(entry->origin, {.refusal = refusal});
    }
  }
  for (const Origin& origin : refused) shard_.send_outcome(origin, {.refusal = refusal});
}

/// The next leader may have it or not: it is sent there again, and recognised by its id.
void Hosting::propose_again(const EntryWaiting& waiting) {
  const format::EntryRecord& entry = **waiting.entry;
  shard_.remote_homes().propose(waiting.entry->position().slot,
                                {.conversation = waiting.hosted->name,
                                 .kind = entry.kind,
                                 .from = std::string(entry.from),
                                 .id = std::string(entry.id),
                                 .id_from_client = entry.id_from_client,
                                 .properties = std::string(entry.properties),
                                 .payload = std::string(entry.payload),
                                 .origin = waiting.origin},
                                true);
}

/// Of a slot that isn't led here. Another node's proposal goes back to it, since that one knows the leader, too.
void Hosting::propose_elsewhere(Slot slot, ProposeEvent proposal) {
  if (proposal.origin.other_node) {
    shard_.send_outcome(proposal.origin, {.refusal = chat::Refusal::NotLeader});
  } else {
    shard_.remote_homes().propose(slot, std::move(proposal));
  }
}

/// What is hosted belongs to one time of leadership, and is loaded anew in the next.
void Hosting::leadership_changed(Slot slot) {
  if (by_slot_.empty()) return;
  for (Hosted* hosted : std::exchange(by_slot_[slot.value], {})) {
    const auto found = hosted_.find(hosted->name);
    const std::unique_ptr<Hosted> dropped = std::move(found->second);
    hosted_.erase(found);
    if (dropped->state == Hosted::State::Loading) stale_loads_.insert(dropped->name);
    for (const ShardId follower : dropped->followers_waiting) {
      std::erase(dropped->followers, follower);
      if ((follower & kOtherNode) != 0) {
        shard_.serving().led_elsewhere(follower);
      } else {
        shard_.remote_homes().follow(slot, dropped->name, follower);
      }
    }
    for (const ShardId follower : dropped->followers) {
      if ((follower & kOtherNode) != 0) {
        shard_.serving().led_elsewhere(follower);
      } else {
        shard_.remote_homes().follow_again(slot, dropped->name, follower);
      }
    }
    for (ProposeEvent& proposal : dropped->proposals_waiting) propose_elsewhere(slot, std::move(proposal));
    for (const Hosted::Repeat& repeat : dropped->repeats) {
      shard_.send_outcome(repeat.origin, {.refusal = chat::Refusal::NotLeader});
    }
  }
}

/// The repeats whose first use is committed by now.
void Hosting::release_repeats(Hosted& hosted) {
  const Seq head = hosted.conversation->head();
  std::erase_if(hosted.repeats, [&](Hosted::Repeat& repeat) {
    if (repeat.seq > head) return false;
    shard_.send_outcome(repeat.origin,
                        {.seq = repeat.seq, .ts = repeat.ts, .id = std::move(repeat.id), .duplicate = true});
    return true;
  });
}

void Hosting::materialised(Lsn upto) {
  while (!unmaterialised_.empty() && unmaterialised_.front().lsn <= upto) {
    const UnmaterialisedId& id = unmaterialised_.front();
    const auto found = hosted_.find(id.conversation);
    if (found != hosted_.end() && found->second->conversation) {
      found->second->conversation->forget(id.from, id.id);
    }
    unmaterialised_.pop_front();
  }
}

void Hosting::sweep() {
  std::erase_if(hosted_, [&](auto& one) {
    Hosted& hosted = *one.second;
    const bool settled =
        hosted.state == Hosted::State::Absent || (hosted.state == Hosted::State::Ready && hosted.conversation->idle());
    if (!settled || !hosted.followers.empty() || !hosted.repeats.empty()) return false;
    if (std::exchange(hosted.used, false)) return false;
    forget(hosted);
    return true;
  });
}

}  // namespace parley::shard
