#include "broker/shard/hosting.hpp"

#include <algorithm>

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
    shard_.proposing().propose(*hosted, draft, std::move(origin));
    return;
  }
  ProposeEvent proposal = proposal_of(conversation, draft, std::move(origin));
  if (hosted != nullptr) {
    hosted->proposals_waiting.push_back(std::move(proposal));
  } else {
    propose_elsewhere(slot_of_name(conversation, shard_.options()), std::move(proposal));
  }
}

void Hosting::propose(ProposeEvent proposal) {
  Hosted* hosted = find_or_load(proposal.conversation);
  if (hosted == nullptr) {
    const Slot slot = slot_of_name(proposal.conversation, shard_.options());
    propose_elsewhere(slot, std::move(proposal));
  } else if (hosted->state == Hosted::State::Loading) {
    hosted->proposals_waiting.push_back(std::move(proposal));
  } else {
    shard_.proposing().propose(*hosted, std::move(proposal));
  }
}

/// What was looked up in an earlier time of leadership may lack what was committed since, so it is looked up again.
void Hosting::amend(ProposeEvent proposal, std::uint64_t token, const format::EntryPtr& message) {
  const auto found = hosted_.find(proposal.conversation);
  if (found == hosted_.end() || std::erase(found->second->lookups, token) == 0) return propose(std::move(proposal));
  shard_.proposing().amend(*found->second, std::move(proposal), message);
}

void Hosting::forget_lookup(const std::string& conversation, std::uint64_t token) {
  const auto found = hosted_.find(conversation);
  if (found != hosted_.end()) std::erase(found->second->lookups, token);
}

void Hosting::retained(const std::string& name, ConversationNumber number, Seq oldest) {
  const auto found = hosted_.find(name);
  if (found == hosted_.end() || found->second->state != Hosted::State::Ready) return;
  Hosted& hosted = *found->second;
  if (hosted.conversation->state().number != number) return;
  hosted.conversation->retained(oldest);
  shard_.share_homes().retained(hosted, oldest);
  for (const ShardId follower : std::vector(hosted.followers)) {
    answer_follower(hosted, follower, chat::Refusal::None);
  }
}

Hosted* Hosting::find(std::string_view conversation) {
  const auto found = hosted_.find(conversation);
  return found == hosted_.end() || found->second->state != Hosted::State::Ready ? nullptr : found->second.get();
}

Hosted* Hosting::find_known(std::string_view conversation) {
  const auto found = hosted_.find(conversation);
  return found == hosted_.end() ? nullptr : found->second.get();
}

void Hosting::delivered(const DeliveredEvent& event) {
  if (Hosted* hosted = find(event.conversation)) {
    shard_.marks().delivered(*hosted, event.marks);
  } else if (!hosted_.contains(event.conversation)) {
    shard_.remote_homes().delivered(event);
  }
}

void Hosting::access(AccessEvent asked) {
  Hosted* hosted = find_or_load(asked.conversation);
  if (hosted == nullptr) {
    const Slot slot = slot_of_name(asked.conversation, shard_.options());
    access_elsewhere(slot, std::move(asked));
  } else if (hosted->state == Hosted::State::Ready || hosted->state == Hosted::State::Absent) {
    answer_access(*hosted, asked, chat::Refusal::NotAuthorized);
  } else {
    hosted->accesses_waiting.push_back(std::move(asked));
  }
}

void Hosting::access_elsewhere(Slot slot, AccessEvent asked) {
  if ((asked.shard & kOtherNode) != 0) {
    shard_.send(asked.shard, PeerEvent{AccessedEvent{.token = asked.token, .refusal = chat::Refusal::NotLeader}});
  } else {
    shard_.remote_homes().access(slot, std::move(asked));
  }
}

/// `refusal`: where it isn't Ready.
void Hosting::answer_access(const Hosted& hosted, const AccessEvent& asked, chat::Refusal refusal) {
  AccessedEvent answer{.token = asked.token, .refusal = refusal};
  if (hosted.state == Hosted::State::Ready) answer = shard_.groups().access(hosted, asked);
  shard_.send(asked.shard, PeerEvent{std::move(answer)});
}

void Hosting::answer_accesses(Hosted& hosted, chat::Refusal refusal) {
  for (const AccessEvent& asked : std::exchange(hosted.accesses_waiting, {})) answer_access(hosted, asked, refusal);
}

void Hosting::follow(const std::string& conversation, ShardId follower) {
  Hosted* found = find_or_load(conversation);
  if (found == nullptr) {
    shard_.remote_homes().follow(slot_of_name(conversation, shard_.options()), conversation, follower);
    return;
  }
  Hosted& hosted = *found;
  if (std::ranges::find(hosted.followers, follower) == hosted.followers.end()) hosted.followers.push_back(follower);
  if (hosted.state == Hosted::State::Absent) shard_.proposing().create_for_followers(hosted);
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
    event.visibility = hosted.group->standing(event.head).settings.visibility;
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
    if (!hosted.followers_waiting.empty()) shard_.proposing().create_for_followers(hosted);
    if (hosted.state == Hosted::State::Absent) {
      for (const ShardId follower : std::exchange(hosted.followers_waiting, {})) {
        answer_follower(hosted, follower, chat::Refusal::None);
      }
      answer_accesses(hosted, chat::Refusal::NotAuthorized);
    }
  } else {
    chat::Conversation::State state{.name = hosted.name, .last_ts = loaded.conversation->last_ts};
    copy_standing(state, *loaded.conversation);
    hosted.conversation = std::make_unique<chat::Conversation>(std::move(state));
    shard_.committing().loaded(loaded.log_end);
    restore(hosted, loaded);
    become_ready(hosted);
  }
  for (ProposeEvent& waiting : std::exchange(hosted.proposals_waiting, {})) {
    shard_.proposing().propose(hosted, std::move(waiting));
  }
}

void Hosting::restore(Hosted& hosted, LogStoreEvents::LoadedConversation& loaded) {
  StoredConversation& stored = *loaded.conversation;
  hosted.group.emplace(chat::Group::Standing{.settings = {.visibility = stored.visibility,
                                                          .announce = stored.announce,
                                                          .history = stored.history,
                                                          .title = std::move(stored.title)},
                                             .members = stored.members,
                                             .owners = stored.owners});
  for (const auto& entry : loaded.unmaterialised) {
    const format::EntryRecord& record = **entry;
    if (record.id_from_client) {
      const bool is_command = record.kind != format::EntryKind::Message;
      hosted.conversation->remember(record.from, record.id, {record.seq, record.ts, is_command});
    }
    shard_.committing().restore(hosted, record);
    if (record.kind == format::EntryKind::Settings) hosted.group->apply(record, std::nullopt);
    if (record.kind != format::EntryKind::Member) continue;
    // The store may have gone on since: how the member stood before is what was loaded.
    std::optional<format::MemberRow> before;
    if (const auto change = format::decode_member_change(record.payload)) {
      const auto known = std::ranges::find(loaded.members, change->user, &StoredMember::user);
      if (known != loaded.members.end()) before = known->member;
      if (const auto recent = hosted.group->find(change->user, record.seq)) before = *recent;
    }
    hosted.group->apply(record, before);
  }
  shard_.marks().restore(hosted, loaded, shard_.committing().log_end());
  shard_.share_homes().restore(hosted, loaded.marks);
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
  answer_accesses(hosted, refusal);
}

void Hosting::become_ready(Hosted& hosted) {
  hosted.state = Hosted::State::Ready;
  for (const ShardId follower : std::exchange(hosted.followers_waiting, {})) {
    answer_follower(hosted, follower, chat::Refusal::None);
  }
  answer_accesses(hosted, chat::Refusal::NotAuthorized);
}

std::vector<ShardId> Hosting::become_absent(Hosted& hosted, chat::Refusal refusal) {
  hosted.state = Hosted::State::Absent;
  hosted.conversation.reset();
  hosted.group.reset();
  answer_accesses(hosted, refusal);
  std::vector<ShardId> unanswered = std::exchange(hosted.followers_waiting, {});
  for (const ShardId follower : unanswered) std::erase(hosted.followers, follower);
  return unanswered;
}

void Hosting::propose_elsewhere(Slot slot, ProposeEvent proposal) {
  if (proposal.origin.other_node) {
    shard_.send_outcome(proposal.origin, {.refusal = chat::Refusal::NotLeader});
  } else {
    shard_.remote_homes().propose(slot, std::move(proposal));
  }
}

void Hosting::forget_shares_of(NodeId node) {
  for (auto& [name, hosted] : hosted_) {
    std::erase_if(hosted->proposals_waiting, [&](const ProposeEvent& proposal) {
      const auto& from = proposal.origin.other_node;
      return proposal.purpose == ProposeEvent::Purpose::Share && from && from->node == node;
    });
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
    shard_.marks().hand_on(slot, *dropped);
    shard_.share_homes().hand_on(slot, *dropped);
    for (AccessEvent& asked : dropped->accesses_waiting) access_elsewhere(slot, std::move(asked));
    for (ProposeEvent& proposal : dropped->proposals_waiting) propose_elsewhere(slot, std::move(proposal));
    for (const Hosted::Repeat& repeat : dropped->repeats) {
      shard_.send_outcome(repeat.origin, {.refusal = chat::Refusal::NotLeader});
    }
  }
}

void Hosting::sweep() {
  std::erase_if(hosted_, [&](auto& one) {
    Hosted& hosted = *one.second;
    const bool settled = hosted.state == Hosted::State::Absent ||
                         (hosted.state == Hosted::State::Ready && hosted.conversation->idle() && hosted.group->idle());
    if (!Marks::is_idle(hosted) || !ShareHomes::is_idle(hosted)) return false;
    if (!settled || !hosted.accesses_waiting.empty() || !hosted.followers.empty() || !hosted.repeats.empty() ||
        !hosted.lookups.empty())
      return false;
    if (std::exchange(hosted.used, false)) return false;
    forget(hosted);
    return true;
  });
}

}  // namespace parley::shard
