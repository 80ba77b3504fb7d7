#include "broker/shard/hosting.hpp"

#include <algorithm>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "broker/chat/access.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

chat::Refusal refusal_of(boost::system::error_code error) {
  return error == make_error_code(StorageError::DiskFull) ? chat::Refusal::DiskFull : chat::Refusal::StorageFailed;
}

}  // namespace

Hosted& Hosting::find_or_load(std::string_view conversation) {
  auto found = hosted_.find(conversation);
  if (found == hosted_.end()) {
    found = hosted_.emplace(std::string(conversation), std::make_unique<Hosted>()).first;
    found->second->name = found->first;
    shard_.store().load_conversation(shard_.id(), found->first);
  }
  found->second->used = true;
  return *found->second;
}

void Hosting::propose(std::string_view conversation, const chat::EntryDraft& draft, Origin origin) {
  Hosted& hosted = find_or_load(conversation);
  if (hosted.state == Hosted::State::Loading) {
    hosted.proposals_waiting.push_back({.conversation = hosted.name,
                                        .kind = draft.kind,
                                        .from = std::string(draft.from),
                                        .id = std::string(draft.id),
                                        .id_from_client = draft.id_from_client,
                                        .properties = std::string(draft.properties),
                                        .payload = std::string(draft.payload),
                                        .origin = std::move(origin)});
    return;
  }
  propose_ready(hosted, draft, std::move(origin));
}

void Hosting::propose_ready(Hosted& hosted, const chat::EntryDraft& draft, Origin origin) {
  if (hosted.state == Hosted::State::Absent) {
    if (!shard_.options().auto_create) {
      shard_.send_outcome(origin, {.refusal = chat::Refusal::NotAuthorized});
      return;
    }
    create(hosted, draft.from);
  }
  chat::Conversation& conversation = *hosted.conversation;
  const auto& state = conversation.state();
  if (!chat::may(chat::Right::Post, {draft.from, hosted.name, state.type, state.visibility})) {
    shard_.send_outcome(origin, {.refusal = chat::Refusal::NotAuthorized});
    return;
  }
  if (shard_.appends().pending_bytes() > shard_.options().pending_bytes_max) {
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
  const Slot slot = slot_of(state.number);
  const auto position = shard_.appends().next_position(slot);
  const auto place = conversation.propose(draft, shard_.wall());
  auto entry = format::Entry::make(position, {.conversation = state.number,
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
  shard_.appends().add(slot, std::move(bytes), EntryWaiting{&hosted, std::move(entry), std::move(origin)});
}

void Hosting::create(Hosted& hosted, std::string_view creator) {
  const Slot slot = slot_of_name(hosted.name, shard_.options());
  const auto position = shard_.appends().next_position(slot);
  chat::Conversation::State state{.number = conversation_number(slot, position.index),
                                  .name = hosted.name,
                                  .epoch = {shard_.random().next() | 1},
                                  .last_ts = shard_.wall()};
  auto record = format::encode_record(position, format::ConversationRecord{.name = state.name,
                                                                           .epoch = state.epoch,
                                                                           .created = state.last_ts,
                                                                           .type = state.type,
                                                                           .visibility = state.visibility,
                                                                           .creator = creator});
  shard_.appends().add(slot, std::make_shared<const std::string>(std::move(record)), CreationWaiting{&hosted});
  hosted.conversation = std::make_unique<chat::Conversation>(std::move(state));
  hosted.state = Hosted::State::Creating;
}

void Hosting::follow(const std::string& conversation, ShardId follower) {
  Hosted& hosted = find_or_load(conversation);
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
  if (found == hosted_.end()) return;
  std::erase(found->second->followers, follower);
}

void Hosting::answer_follower(const Hosted& hosted, ShardId follower, chat::Refusal refusal) {
  FollowedEvent event{.conversation = hosted.name, .refusal = refusal};
  if (hosted.state == Hosted::State::Ready) {
    const auto& state = hosted.conversation->state();
    event.number = state.number;
    event.epoch = state.epoch;
    event.oldest = state.oldest;
    event.head = state.head;
    event.type = state.type;
    event.visibility = state.visibility;
  }
  shard_.send(follower, PeerEvent{std::move(event)});
}

void Hosting::loaded(LogStoreEvents::LoadedConversation loaded) {
  const auto found = hosted_.find(loaded.name);
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
    StoredConversation& stored = *loaded.conversation;
    hosted.conversation =
        std::make_unique<chat::Conversation>(chat::Conversation::State{.number = stored.number,
                                                                       .name = stored.name,
                                                                       .epoch = stored.epoch,
                                                                       .oldest = stored.oldest,
                                                                       .head = stored.head,
                                                                       .last_ts = stored.last_ts,
                                                                       .type = stored.type,
                                                                       .visibility = stored.visibility});
    last_ = std::max(last_, loaded.log_end);
    for (const auto& entry : loaded.unmaterialised) {
      const format::EntryRecord& record = **entry;
      hosted.conversation->remember(record.from, record.id, {record.seq, record.ts});
      unmaterialised_.push_back({last_, hosted.name, std::string(record.from), std::string(record.id)});
    }
    become_ready(hosted);
  }
  for (ProposeEvent& waiting : std::exchange(hosted.proposals_waiting, {})) {
    propose_ready(hosted,
                  {.kind = waiting.kind,
                   .from = waiting.from,
                   .id = waiting.id,
                   .id_from_client = waiting.id_from_client,
                   .properties = waiting.properties,
                   .payload = waiting.payload},
                  std::move(waiting.origin));
  }
}

void Hosting::load_failed(const std::string& conversation) {
  const auto found = hosted_.find(conversation);
  if (found == hosted_.end() || found->second->state != Hosted::State::Loading) return;
  refuse_waiting(*found->second, chat::Refusal::StorageFailed);
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

void Hosting::settled(std::vector<Waiting>& waiting, Result<Lsn> first) {
  if (!first) {
    roll_back(waiting, refusal_of(first.error()));
    return;
  }
  // Entries of one conversation stand together for its followers, but outcomes keep the order of the log.
  std::vector<std::pair<Hosted*, std::vector<format::EntryPtr>>> fresh;
  std::uint64_t lsn = first->value;
  for (Waiting& one : waiting) {
    if (auto* creation = std::get_if<CreationWaiting>(&one)) {
      become_ready(*creation->hosted);
    } else if (auto* entry = std::get_if<EntryWaiting>(&one)) {
      Hosted& hosted = *entry->hosted;
      const format::EntryRecord& record = **entry->entry;
      hosted.conversation->committed(record.seq, record.ts);
      if (record.id_from_client) {
        unmaterialised_.push_back({{lsn}, hosted.name, std::string(record.from), std::string(record.id)});
      }
      if (fresh.empty() || fresh.back().first != &hosted) fresh.push_back({&hosted, {}});
      fresh.back().second.push_back(entry->entry);
      shard_.send_outcome(entry->origin, {.seq = record.seq, .ts = record.ts, .id = std::string(record.id)});
    }
    ++lsn;
  }
  last_ = std::max(last_, Lsn{lsn - 1});
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

void Hosting::roll_back(std::vector<Waiting>& waiting, chat::Refusal refusal) {
  std::vector<Hosted*> touched;
  for (const Waiting& one : waiting) {
    if (const auto* entry = std::get_if<EntryWaiting>(&one)) {
      touched.push_back(entry->hosted);
    } else if (const auto* creation = std::get_if<CreationWaiting>(&one)) {
      touched.push_back(creation->hosted);
    }
  }
  std::ranges::sort(touched);
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  // First everything goes back, then it is told: whoever hears of it may at once propose again.
  for (Hosted* hosted : touched) hosted->conversation->rolled_back();
  std::vector<Origin> refused;
  std::vector<std::pair<std::string, ShardId>> unanswered;
  for (Hosted* hosted : touched) {
    if (hosted->state != Hosted::State::Creating) continue;
    hosted->state = Hosted::State::Absent;
    hosted->conversation.reset();
    for (const ShardId follower : std::exchange(hosted->followers_waiting, {})) {
      std::erase(hosted->followers, follower);
      unanswered.emplace_back(hosted->name, follower);
    }
  }
  for (Hosted* hosted : touched) {
    const Seq head = hosted->conversation ? hosted->conversation->head() : Seq{};
    // A repeat of an entry that isn't stored shares its fate.
    std::erase_if(hosted->repeats, [&](Hosted::Repeat& repeat) {
      if (repeat.seq <= head) return false;
      refused.push_back(std::move(repeat.origin));
      return true;
    });
  }
  for (const auto& [name, follower] : unanswered) {
    shard_.send(follower, PeerEvent{FollowedEvent{.conversation = name, .refusal = refusal}});
  }
  for (const Waiting& one : waiting) {
    if (const auto* entry = std::get_if<EntryWaiting>(&one)) shard_.send_outcome(entry->origin, {.refusal = refusal});
  }
  for (const Origin& origin : refused) shard_.send_outcome(origin, {.refusal = refusal});
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
    return std::exchange(hosted.used, false) == false;
  });
}

}  // namespace parley::shard
