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
    propose_ready(*hosted, std::move(proposal));
  }
}

void Hosting::propose_ready(Hosted& hosted, ProposeEvent proposal) {
  switch (proposal.purpose) {
    case ProposeEvent::Purpose::Entry: propose_ready(hosted, draft_of(proposal), std::move(proposal.origin)); return;
    case ProposeEvent::Purpose::Typing: shard_.typing().take(hosted, proposal); return;
    case ProposeEvent::Purpose::Read: shard_.marks().read(hosted, std::move(proposal)); return;
    case ProposeEvent::Purpose::Share: shard_.share_homes().take(hosted, std::move(proposal)); return;
    case ProposeEvent::Purpose::Erase: shard_.erasures().take(hosted, proposal); return;
  }
}

void Hosting::propose_ready(Hosted& hosted, const chat::EntryDraft& draft, Origin origin) {
  const auto refuse = [&](chat::Refusal refusal) { shard_.send_outcome(origin, {.refusal = refusal}); };
  std::optional<chat::Command> command;
  if (draft.kind != format::EntryKind::Message) {
    auto read = Groups::read(draft.payload);
    if (!read) return refuse(refusal_of(read.error()));
    command = *std::move(read);
  }
  if (shard_.replicas().waiting_bytes() > shard_.options().pending_bytes_max) return refuse(chat::Refusal::Busy);
  if (hosted.state == Hosted::State::Absent) {
    if (command && command->op == chat::Op::Create) return found(hosted, draft, *command, std::move(origin));
    const bool uses = !command || command->op == chat::Op::Join;
    const auto refusal = uses ? create_by_use(hosted, draft.from) : chat::Refusal::NotAuthorized;
    if (refusal != chat::Refusal::None) return refuse(refusal);
  }
  if (command) return this->command(hosted, draft, *command, std::move(origin));
  if (!chat::may(chat::Right::Post, shard_.groups().request(hosted, draft.from, hosted.conversation->tip()))) {
    return refuse(chat::Refusal::NotAuthorized);
  }
  if (is_repeat(hosted, draft, origin)) return;
  if (!shard_.post_rates().take(hosted.name, draft.from)) return refuse(chat::Refusal::Rate);
  append(hosted, draft, std::move(origin));
}

void Hosting::command(Hosted& hosted, const chat::EntryDraft& draft, const chat::Command& command, Origin origin) {
  if (command.op == chat::Op::Info) {
    shard_.groups().answer_info(hosted, command, std::string(draft.from), std::move(origin));
    return;
  }
  const bool may_read =
      chat::may(chat::Right::Read, shard_.groups().request(hosted, draft.from, hosted.conversation->tip()));
  if (may_read && is_repeat(hosted, draft, origin)) return;
  if (command.op == chat::Op::Edit || command.op == chat::Op::Redact) {
    shard_.amendments().look_up(hosted, draft, command, std::move(origin));
    return;
  }
  auto changes = shard_.groups().decide(hosted, command, draft.from);
  if (!changes) {
    shard_.send_outcome(origin, {.refusal = refusal_of(changes.error())});
    return;
  }
  append(hosted, draft, *std::move(changes), std::move(origin));
}

/// What was looked up in an earlier time of leadership may lack what was committed since, so it is looked up again.
void Hosting::amend(ProposeEvent proposal, std::uint64_t token, const format::EntryPtr& message) {
  const auto found = hosted_.find(proposal.conversation);
  if (found == hosted_.end() || std::erase(found->second->lookups, token) == 0) return propose(std::move(proposal));
  Hosted& hosted = *found->second;
  const auto draft = draft_of(proposal);
  if (is_repeat(hosted, draft, proposal.origin)) return;
  const auto amendment = shard_.amendments().decide(hosted, draft, message);
  if (!amendment) {
    shard_.send_outcome(proposal.origin, {.refusal = refusal_of(amendment.error())});
  } else if (!*amendment) {
    shard_.send_outcome(proposal.origin, {.detail = std::string(Outcome::kUnchanged)});
  } else if ((*amendment)->kind == format::EntryKind::Edit && !shard_.post_rates().take(hosted.name, draft.from)) {
    // Whoever redacts a flood isn't kept from it.
    shard_.send_outcome(proposal.origin, {.refusal = chat::Refusal::Rate});
  } else {
    append(hosted,
           {.kind = (*amendment)->kind,
            .ref = (*amendment)->ref,
            .from = draft.from,
            .id = draft.id,
            .id_from_client = draft.id_from_client,
            .properties = (*amendment)->properties,
            .payload = (*amendment)->payload},
           std::move(proposal.origin));
  }
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

/// By command `create`.
void Hosting::found(Hosted& hosted, const chat::EntryDraft& draft, const chat::Command& command, Origin origin) {
  const auto creation = chat::decide_creation(command, draft.from, hosted.name);
  if (!creation) {
    shard_.send_outcome(origin, {.refusal = refusal_of(creation.error())});
    return;
  }
  auto changes = Groups::founding(*creation, draft.from);
  if (!create(hosted, draft.from, *creation, changes.empty() ? origin : Origin{})) {
    shard_.send_outcome(origin, {.refusal = chat::Refusal::NotLeader});
    return;
  }
  if (!changes.empty()) append(hosted, draft, std::move(changes), std::move(origin));
}

bool Hosting::may_create_by_use(const std::string& conversation, std::string_view user) const {
  const auto users = format::direct_users(conversation);
  return users ? users->first == user || users->second == user : shard_.options().auto_create;
}

chat::Refusal Hosting::create_by_use(Hosted& hosted, std::string_view user) {
  if (!may_create_by_use(hosted.name, user)) return chat::Refusal::NotAuthorized;
  chat::Creation creation;
  if (format::direct_users(hosted.name)) {
    creation = {.type = format::ConversationType::Direct,
                .settings = {.visibility = format::Visibility::Private, .history = format::HistoryRule::All}};
  }
  return create(hosted, user, creation, {}) ? chat::Refusal::None : chat::Refusal::NotLeader;
}

bool Hosting::is_repeat(Hosted& hosted, const chat::EntryDraft& draft, Origin& origin) {
  if (!draft.id_from_client) return false;
  chat::Conversation& conversation = *hosted.conversation;
  const bool is_command = draft.kind != format::EntryKind::Message;
  auto use = conversation.recent_use(draft.from, draft.id);
  if (!use) {
    const auto stored = shard_.store().find_id(shard_.id(), conversation.state().number, draft.from, draft.id);
    if (stored) {
      use = chat::FirstUse{stored->seq, stored->ts, is_command};
      if (stored->kind) use->is_command = *stored->kind != format::EntryKind::Message;
    }
  }
  if (!use || !conversation.still_remembered(*use, shard_.wall())) return false;
  if (use->is_command != is_command) {
    // A receipt would say that something is done which nobody has done.
    shard_.send_outcome(origin, {.refusal = chat::Refusal::InvalidId});
    return true;
  }
  if (use->seq > conversation.head()) {
    hosted.repeats.push_back({use->seq, use->ts, std::string(draft.id), std::move(origin)});
  } else {
    shard_.send_outcome(origin, {.seq = use->seq, .ts = use->ts, .id = std::string(draft.id), .duplicate = true});
  }
  return true;
}

/// The entries of a command. The last one answers for all: they are committed in their order.
void Hosting::append(Hosted& hosted, const chat::EntryDraft& draft, std::vector<Groups::Change> changes,
                     Origin origin) {
  if (changes.empty()) {
    shard_.send_outcome(origin, {.detail = std::string(Outcome::kUnchanged)});
    return;
  }
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const bool last = i + 1 == changes.size();
    const std::string id = last ? std::string(draft.id) : shard_.publishing().make_id();
    const chat::EntryDraft entry{.kind = changes[i].kind,
                                 .ref = {},
                                 .from = draft.from,
                                 .id = id,
                                 .id_from_client = last && draft.id_from_client,
                                 .properties = {},
                                 .payload = changes[i].payload};
    append(hosted, entry, last ? std::move(origin) : Origin{});
  }
}

void Hosting::append(Hosted& hosted, const chat::EntryDraft& draft, Origin origin) {
  if (draft.payload.size() + draft.properties.size() > shard_.appending().record_max()) {
    // Another replica could never have it, nor what comes behind it.
    shard_.send_outcome(origin, {.refusal = chat::Refusal::TooLarge});
    return;
  }
  const auto position = shard_.replicas().propose(hosted.slot);
  if (!position) {
    const auto refusal = refusal_of(position.error());
    // Leadership is being handed over: it waits for who leads next.
    if (refusal == chat::Refusal::NotLeader && draft.kind == format::EntryKind::Message) {
      propose_elsewhere(hosted.slot, proposal_of(hosted.name, draft, std::move(origin)));
    } else {
      shard_.send_outcome(origin, {.refusal = refusal});
    }
    return;
  }
  // Nodes of earlier versions can't read the record.
  const bool names_publisher = draft.kind == format::EntryKind::Message && shard_.nodes().all_speak(kPublisherVersion);
  const auto place = hosted.conversation->propose(draft, shard_.wall());
  auto entry = format::Entry::make(*position, {.conversation = hosted.conversation->state().number,
                                               .seq = place.seq,
                                               .ts = place.ts,
                                               .kind = draft.kind,
                                               .id_from_client = draft.id_from_client,
                                               .ref = draft.ref,
                                               .publisher = names_publisher ? draft.publisher : 0,
                                               .from = draft.from,
                                               .id = draft.id,
                                               .properties = draft.properties,
                                               .payload = draft.payload});
  if (draft.kind == format::EntryKind::Settings) {
    hosted.group->apply(**entry, std::nullopt);
  } else if (draft.kind == format::EntryKind::Member) {
    const auto change = format::decode_member_change(draft.payload);
    hosted.group->apply(**entry,
                        change ? shard_.groups().find(hosted, change->user, Seq{place.seq.value - 1}) : std::nullopt);
  }
  auto bytes = std::shared_ptr<const std::string>(entry, &entry->bytes());
  shard_.replicas().add(*position, std::move(bytes), EntryWaiting{&hosted, std::move(entry), std::move(origin)});
}

bool Hosting::create(Hosted& hosted, std::string_view creator, const chat::Creation& creation, Origin origin) {
  const auto position = shard_.replicas().propose(hosted.slot);
  if (!position) return false;
  chat::Conversation::State state{.number = conversation_number(hosted.slot, position->index),
                                  .name = hosted.name,
                                  .epoch = {shard_.random().next() | 1},
                                  .last_ts = shard_.wall(),
                                  .type = creation.type,
                                  .visibility = creation.settings.visibility};
  auto record = format::encode_record(*position, format::ConversationRecord{.name = state.name,
                                                                            .epoch = state.epoch,
                                                                            .created = state.last_ts,
                                                                            .type = state.type,
                                                                            .visibility = state.visibility,
                                                                            .creator = creator});
  shard_.replicas().add(*position, std::make_shared<const std::string>(std::move(record)),
                        CreationWaiting{&hosted, std::move(origin)});
  hosted.conversation = std::make_unique<chat::Conversation>(std::move(state));
  hosted.group.emplace(chat::Group::Standing{.settings = {.visibility = creation.settings.visibility}});
  hosted.state = Hosted::State::Creating;
  return true;
}

/// Whoever subscribes to a direct conversation is one of its two users.
void Hosting::create_for_followers(Hosted& hosted) {
  const auto users = format::direct_users(hosted.name);
  if (users || shard_.options().auto_create) create_by_use(hosted, users ? users->first : std::string_view());
}

Hosted* Hosting::find(std::string_view conversation) {
  const auto found = hosted_.find(conversation);
  return found == hosted_.end() || found->second->state != Hosted::State::Ready ? nullptr : found->second.get();
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
  if (hosted.state == Hosted::State::Absent) create_for_followers(hosted);
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
    if (!hosted.followers_waiting.empty()) create_for_followers(hosted);
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
    last_ = std::max(last_, loaded.log_end);
    restore(hosted, loaded);
    become_ready(hosted);
  }
  for (ProposeEvent& waiting : std::exchange(hosted.proposals_waiting, {})) {
    propose_ready(hosted, std::move(waiting));
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
    unmaterialised_.push_back({last_, hosted.name, std::string(record.from), std::string(record.id), record.seq});
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
  shard_.marks().restore(hosted, loaded, last_);
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

void Hosting::committed(const std::vector<WaitingRecord>& records) {
  // Entries of one conversation stand together for its followers, but outcomes keep the order of the log.
  std::vector<std::pair<Hosted*, std::vector<format::EntryPtr>>> fresh;
  for (const WaitingRecord& one : records) {
    if (const auto* creation = std::get_if<CreationWaiting>(&one.waiting)) {
      become_ready(*creation->hosted);
      shard_.groups().created(*creation->hosted);
      shard_.send_outcome(creation->origin, {});
    } else if (const auto* entry = std::get_if<EntryWaiting>(&one.waiting)) {
      Hosted& hosted = *entry->hosted;
      const format::EntryRecord& record = **entry->entry;
      hosted.conversation->committed(record.seq, record.ts);
      const bool is_message = record.kind == format::EntryKind::Message;
      if (record.id_from_client || !is_message) {
        unmaterialised_.push_back({one.lsn, hosted.name, std::string(record.from), std::string(record.id), record.seq});
      }
      if (!is_message) shard_.groups().committed(hosted, record);
      shard_.marks().sent(hosted, record, one.lsn);
      if (fresh.empty() || fresh.back().first != &hosted) fresh.push_back({&hosted, {}});
      fresh.back().second.push_back(entry->entry);
      shard_.send_outcome(entry->origin, {.seq = record.seq, .ts = record.ts, .id = std::string(record.id)});
    }
    last_ = std::max(last_, one.lsn);
  }
  for (auto& [hosted, entries] : fresh) {
    for (std::size_t i = 0; i < hosted->followers.size();) {
      const ShardId follower = hosted->followers[i];
      if (follower == shard_.id()) {
        shard_.feeds().committed(hosted->name, entries);
      } else {
        shard_.send(follower, PeerEvent{CommittedEvent{hosted->name, entries}});
      }
      // This shard may have unfollowed: an entry can end the last subscription there.
      if (i < hosted->followers.size() && hosted->followers[i] == follower) ++i;
    }
    if (!hosted->repeats.empty()) release_repeats(*hosted);
    shard_.share_homes().committed(*hosted, entries);
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
    hosted.group->rolled_back(one.tip);
    // A repeat of an entry that isn't stored shares its fate.
    std::erase_if(hosted.repeats, [&](Hosted::Repeat& repeat) {
      if (repeat.seq <= one.tip) return false;
      refused.push_back(std::move(repeat.origin));
      return true;
    });
    if (!one.creation) continue;
    hosted.state = Hosted::State::Absent;
    hosted.conversation.reset();
    hosted.group.reset();
    answer_accesses(hosted, refusal);
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
void Hosting::propose_again(const EntryWaiting& waiting) {
  shard_.remote_homes().propose(waiting.entry->position().slot,
                                proposal_of(waiting.hosted->name, **waiting.entry, waiting.origin), true);
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
  materialised_ = std::max(materialised_, upto);
  while (!unmaterialised_.empty() && unmaterialised_.front().lsn <= upto) {
    const UnmaterialisedId& id = unmaterialised_.front();
    const auto found = hosted_.find(id.conversation);
    if (found != hosted_.end() && found->second->conversation) {
      found->second->conversation->forget(id.from, id.id);
      found->second->group->materialised(id.seq);
      // What was looked up meanwhile may be older than that.
      if (found->second->lookups.empty()) found->second->conversation->materialised(id.seq);
      Marks::materialised(*found->second, id.seq);
    }
    unmaterialised_.pop_front();
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
