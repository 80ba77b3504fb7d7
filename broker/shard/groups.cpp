#include "broker/shard/groups.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "broker/shard/hosting.hpp"
#include "broker/shard/shard.hpp"
#include "json/entry_json.hpp"
#include "json/fields.hpp"

namespace parley::shard {
namespace {

/// What is told again of a slot at a time.
constexpr std::size_t kToldAgainMax = 256;

void append_number(std::string& to, std::string_view name, std::uint64_t number) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  to.append(",\"").append(name).append("\":").append(digits.data(), end);
}

}  // namespace

// -- Who may what --

std::optional<format::MemberRow> Groups::find(const Hosted& hosted, std::string_view user, Seq upto) const {
  if (const auto recent = hosted.group->find(user, upto)) return *recent;
  return shard_.store().find_member(shard_.id(), hosted.conversation->state().number, user);
}

chat::AccessRequest Groups::request(const Hosted& hosted, std::string_view user, Seq upto) const {
  const auto& state = hosted.conversation->state();
  const auto& settings = hosted.group->standing(upto).settings;
  chat::AccessRequest request{.user = user,
                              .conversation = hosted.name,
                              .type = state.type,
                              .visibility = settings.visibility,
                              .announce = settings.announce,
                              .role = std::nullopt};
  const bool by_role = request.visibility == format::Visibility::Private || request.announce;
  if (!by_role || request.type == format::ConversationType::Direct) return request;
  if (const auto member = find(hosted, user, upto)) request.role = member->role;
  return request;
}

AccessedEvent Groups::access(const Hosted& hosted, const AccessEvent& asked) const {
  AccessedEvent answer{.token = asked.token};
  const Seq head = hosted.conversation->head();
  const auto request = this->request(hosted, asked.user, head);
  if (!chat::may(chat::Right::Read, request)) {
    answer.refusal = chat::Refusal::NotAuthorized;
    return answer;
  }
  if (asked.marks) answer.marks = shard_.marks().list(hosted);
  answer.visible_from = visible_from(hosted, asked.user);
  return answer;
}

/// Where the conversation begins for one who may read it; 0: at its beginning.
Seq Groups::visible_from(const Hosted& hosted, std::string_view user) const {
  const Seq head = hosted.conversation->head();
  const auto& settings = hosted.group->standing(head).settings;
  const bool joined =
      settings.visibility == format::Visibility::Private && settings.history != format::HistoryRule::All;
  if (!joined || hosted.conversation->state().type == format::ConversationType::Direct) return {};
  const auto member = find(hosted, user, head);
  return member ? member->joined : Seq{};
}

// -- Commands --

Result<chat::Command> Groups::read(std::string_view payload) {
  const auto fields = json::read_fields(payload);
  if (!fields) return chat::Refusal::InvalidPayload;
  std::vector<chat::Argument> arguments;
  arguments.reserve(fields->size());
  for (const json::Field& field : *fields) {
    chat::Argument argument{.name = field.name, .value = false};
    if (const auto* text = std::get_if<std::string>(&field.value)) {
      argument.value = *text;
    } else if (const auto* number = std::get_if<std::uint64_t>(&field.value)) {
      argument.value = *number;
    } else if (const auto* flag = std::get_if<bool>(&field.value)) {
      argument.value = *flag;
    } else {
      return chat::Refusal::InvalidArgument;
    }
    arguments.push_back(argument);
  }
  return chat::read_command(arguments);
}

std::vector<Groups::Change> Groups::founding(const chat::Creation& creation, std::string_view actor) {
  std::vector<Change> changes;
  if (creation.type == format::ConversationType::Direct) return changes;
  // The owner comes first, so that it sees everything.
  const format::MemberChange owner{format::MemberAction::Join, format::Role::Owner, actor};
  changes.push_back({format::EntryKind::Member, format::encode_change(owner)});
  if (creation.settings != format::Settings{.visibility = creation.settings.visibility}) {
    changes.push_back({format::EntryKind::Settings, format::encode_change(creation.settings)});
  }
  return changes;
}

Result<std::vector<Groups::Change>> Groups::decide(const Hosted& hosted, const chat::Command& command,
                                                   std::string_view actor) const {
  const Seq tip = hosted.conversation->tip();
  const auto& standing = hosted.group->standing();
  chat::Situation situation{.actor = actor,
                            .conversation = hosted.name,
                            .type = hosted.conversation->state().type,
                            .settings = standing.settings,
                            .members = standing.members,
                            .owners = standing.owners,
                            .role = std::nullopt,
                            .target = std::nullopt};
  if (const auto member = find(hosted, actor, tip)) situation.role = member->role;
  if (!command.user.empty()) {
    if (const auto member = find(hosted, command.user, tip)) situation.target = member->role;
  }
  PARLEY_TRY(const chat::Decision decision, chat::decide(command, situation));
  std::vector<Change> changes;
  if (decision.settings) changes.push_back({format::EntryKind::Settings, format::encode_change(*decision.settings)});
  if (decision.member) changes.push_back({format::EntryKind::Member, format::encode_change(*decision.member)});
  return changes;
}

void Groups::answer_info(const Hosted& hosted, const chat::Command& command, const std::string& actor, Origin origin) {
  std::vector<std::string> users;
  if (!chat::may(chat::Right::Read, request(hosted, actor, hosted.conversation->head()))) {
    shard_.send_outcome(origin, {.refusal = chat::Refusal::NotAuthorized});
    return;
  }
  const auto direct = format::direct_users(hosted.name);
  if (direct && hosted.conversation->state().type == format::ConversationType::Direct) {
    users = {std::string(direct->first), std::string(direct->second)};
  } else if (!command.user.empty()) {
    users = {command.user};
  } else {
    for (StoredMember& one : page(hosted, command.after, command.limit).members) users.push_back(std::move(one.user));
  }
  shard_.presence().questions().who_is_online(
      users, [this, name = hosted.name, command, actor, to = std::move(origin)](const Online& online) {
        const Hosted* found = shard_.hosting().find(name);
        if (found == nullptr) return shard_.send_outcome(to, {.refusal = chat::Refusal::NotLeader});
        std::string detail = info(*found, command, actor, online);
        const auto refusal = detail.empty() ? chat::Refusal::NotAuthorized : chat::Refusal::None;
        shard_.send_outcome(to, {.refusal = refusal, .detail = std::move(detail)});
      });
}

std::string Groups::info(const Hosted& hosted, const chat::Command& command, std::string_view actor,
                         const Online& online) const {
  const Seq head = hosted.conversation->head();
  if (!chat::may(chat::Right::Read, request(hosted, actor, head))) return {};
  const auto& state = hosted.conversation->state();
  const auto& standing = hosted.group->standing(head);
  std::string detail(",\"conversation\":");
  json::append_string(detail, hosted.name);
  detail.append(",\"type\":\"").append(format::name_of(state.type)).append("\",\"settings\":");
  json::append_settings(detail, standing.settings);
  append_number(detail, "head", state.head.value);
  append_number(detail, "oldest", std::max(state.oldest, visible_from(hosted, actor)).value);
  // As text: larger than what many JSON libraries read as a number.
  detail.append(",\"epoch\":\"").append(std::to_string(state.epoch.value)).append("\"");
  const auto direct = state.type == format::ConversationType::Direct ? format::direct_users(hosted.name) : std::nullopt;
  if (const auto mark = shard_.marks().find(hosted, actor)) {
    append_number(detail, "read", mark->read.value);
    append_number(detail, "delivered", mark->delivered.value);
    append_number(detail, "unread", shard_.marks().unread(hosted, mark->read));
  }
  append_number(detail, "member_count", direct ? 2 : standing.members);
  if (direct) {
    detail.append(",\"members\":[");
    const auto seen = [&](std::string_view user) {
      const auto mark = shard_.marks().find(hosted, user);
      return user == actor || (mark && chat::takes_part(*mark)) ? &online : nullptr;
    };
    append_member(hosted, direct->first, {}, seen(direct->first), detail);
    detail.push_back(',');
    append_member(hosted, direct->second, {}, seen(direct->second), detail);
    return detail.append("]");
  }
  const auto me = find(hosted, actor, head);
  if (me) detail.append(",\"role\":\"").append(format::name_of(me->role)).append("\"");
  append_members(hosted, command, me ? &online : nullptr, detail);
  return detail;
}

/// `member`: nothing for one of a direct conversation.
void Groups::append_member(const Hosted& hosted, std::string_view user, const std::optional<format::MemberRow>& member,
                           const Online* online, std::string& to) const {
  const format::MemberRow row = member.value_or(format::MemberRow{});
  to.append("{\"user\":");
  json::append_string(to, user);
  to.append(",\"role\":\"").append(format::name_of(row.role)).append("\"");
  append_number(to, "joined", row.joined.value);
  if (const auto mark = shard_.marks().find(hosted, user)) {
    append_number(to, "read", mark->read.value);
    append_number(to, "delivered", mark->delivered.value);
  }
  if (online) to.append(",\"online\":").append(online->contains(std::string(user)) ? "true" : "false");
  to.push_back('}');
}

/// The store's and behind it what has changed since.
Groups::Page Groups::page(const Hosted& hosted, std::string_view after, std::size_t limit) const {
  const auto changed = hosted.group->changed(hosted.conversation->head());
  // Those that have gone since leave room for as many others.
  const std::size_t wanted = limit + 1 + changed.size();
  const auto stored = shard_.store().list_members(shard_.id(), hosted.conversation->state().number, after, wanted);
  Page page;
  for (const StoredMember& one : stored) {
    const auto last = std::ranges::find(changed, one.user, [](const auto& pair) { return pair.first; });
    if (last == changed.end()) page.members.push_back(one);
  }
  const bool all = stored.size() < wanted;
  for (const auto& [user, member] : changed) {
    if (member && user > after && (all || user <= stored.back().user)) page.members.push_back({user, *member});
  }
  std::ranges::sort(page.members, {}, &StoredMember::user);
  page.more = page.members.size() > limit;
  if (page.more) page.members.resize(limit);
  return page;
}

void Groups::append_members(const Hosted& hosted, const chat::Command& command, const Online* online,
                            std::string& to) const {
  const Seq head = hosted.conversation->head();
  to.append(",\"members\":[");
  if (!command.user.empty()) {
    if (const auto member = find(hosted, command.user, head)) append_member(hosted, command.user, *member, online, to);
    to.append("]");
    return;
  }
  const Page page = this->page(hosted, command.after, command.limit);
  for (std::size_t i = 0; i < page.members.size(); ++i) {
    if (i != 0) to.push_back(',');
    append_member(hosted, page.members[i].user, page.members[i].member, online, to);
  }
  to.append("]");
  if (!page.more || page.members.empty()) return;
  to.append(",\"next\":");
  json::append_string(to, page.members.back().user);
}

// -- The users' slots --

void Groups::tell(const Hosted& hosted, std::string_view user, bool present, Seq changed) {
  const auto& state = hosted.conversation->state();
  shard_.send(home_of_name(user, shard_.options()),
              PeerEvent{MembershipEvent{.user = std::string(user),
                                        .conversation = {state.number, hosted.name, state.epoch, present, changed},
                                        .shard = shard_.id()}});
}

void Groups::committed(const Hosted& hosted, const format::EntryRecord& entry) {
  if (entry.kind != format::EntryKind::Member) return;
  const auto change = format::decode_member_change(entry.payload);
  if (!change || change->action == format::MemberAction::Role) return;
  tell(hosted, change->user, !change->ends(), entry.seq);
}

void Groups::created(const Hosted& hosted) {
  if (hosted.conversation->state().type != format::ConversationType::Direct) return;
  const auto users = format::direct_users(hosted.name);
  if (!users) return;
  tell(hosted, users->first, true, Seq{0});
  tell(hosted, users->second, true, Seq{0});
}

void Groups::take(MembershipEvent& event) {
  const UserConversation& of = event.conversation;
  shard_.appending().append(
      slot_of_name(event.user, shard_.options()),
      format::UserConversationRecord{.user = event.user,
                                     .present = of.present,
                                     .conversation = of.number,
                                     .epoch = of.epoch,
                                     .changed = of.changed,
                                     .name = of.name},
      0,
      [this, user = event.user, number = of.number, changed = of.changed, shard = event.shard](Result<void> outcome) {
        if (!outcome) return;  // It comes again.
        shard_.send(shard, PeerEvent{MembershipTakenEvent{user, number, changed}});
      });
}

void Groups::taken(const MembershipTakenEvent& event) {
  shard_.appending().append(
      slot_of(event.conversation),
      format::FedRecord{.conversation = event.conversation, .changed = event.changed, .user = event.user}, 0, nullptr);
}

void Groups::sweep() {
  for (std::uint32_t slot = shard_.id(); slot < shard_.options().slots; slot += shard_.options().shards) {
    sweep(Slot{slot});
  }
}

void Groups::sweep(Slot slot) {
  if (!shard_.may_host(slot)) return;
  for (UnfedMember& one : shard_.store().unfed_members(shard_.id(), slot, kToldAgainMax)) {
    const ShardId home = home_of_name(one.user, shard_.options());
    shard_.send(home, PeerEvent{MembershipEvent{std::move(one.user), std::move(one.conversation), shard_.id()}});
  }
}

}  // namespace parley::shard
