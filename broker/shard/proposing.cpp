#include "broker/shard/proposing.hpp"

#include <memory>
#include <optional>
#include <utility>

#include "broker/chat/access.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {

void Proposing::propose(Hosted& hosted, ProposeEvent proposal) {
  switch (proposal.purpose) {
    case ProposeEvent::Purpose::Entry: propose(hosted, draft_of(proposal), std::move(proposal.origin)); return;
    case ProposeEvent::Purpose::Typing: shard_.typing().take(hosted, proposal); return;
    case ProposeEvent::Purpose::Read: shard_.marks().read(hosted, std::move(proposal)); return;
    case ProposeEvent::Purpose::Share: shard_.share_homes().take(hosted, std::move(proposal)); return;
    case ProposeEvent::Purpose::Erase: shard_.erasures().take(hosted, proposal); return;
  }
}

void Proposing::propose(Hosted& hosted, const chat::EntryDraft& draft, Origin origin) {
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

void Proposing::command(Hosted& hosted, const chat::EntryDraft& draft, const chat::Command& command, Origin origin) {
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

void Proposing::amend(Hosted& hosted, ProposeEvent proposal, const format::EntryPtr& message) {
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

/// By command `create`.
void Proposing::found(Hosted& hosted, const chat::EntryDraft& draft, const chat::Command& command, Origin origin) {
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

bool Proposing::may_create_by_use(const std::string& conversation, std::string_view user) const {
  const auto users = format::direct_users(conversation);
  return users ? users->first == user || users->second == user : shard_.options().auto_create;
}

chat::Refusal Proposing::create_by_use(Hosted& hosted, std::string_view user) {
  if (!may_create_by_use(hosted.name, user)) return chat::Refusal::NotAuthorized;
  chat::Creation creation;
  if (format::direct_users(hosted.name)) {
    creation = {.type = format::ConversationType::Direct,
                .settings = {.visibility = format::Visibility::Private, .history = format::HistoryRule::All}};
  }
  return create(hosted, user, creation, {}) ? chat::Refusal::None : chat::Refusal::NotLeader;
}

bool Proposing::is_repeat(Hosted& hosted, const chat::EntryDraft& draft, Origin& origin) {
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
void Proposing::append(Hosted& hosted, const chat::EntryDraft& draft, std::vector<Groups::Change> changes,
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

void Proposing::append(Hosted& hosted, const chat::EntryDraft& draft, Origin origin) {
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
      shard_.hosting().propose_elsewhere(hosted.slot, proposal_of(hosted.name, draft, std::move(origin)));
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

bool Proposing::create(Hosted& hosted, std::string_view creator, const chat::Creation& creation, Origin origin) {
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
void Proposing::create_for_followers(Hosted& hosted) {
  const auto users = format::direct_users(hosted.name);
  if (users || shard_.options().auto_create) create_by_use(hosted, users ? users->first : std::string_view());
}

}  // namespace parley::shard
