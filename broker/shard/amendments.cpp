#include "broker/shard/amendments.hpp"

#include <utility>

#include "broker/chat/amendment.hpp"
#include "broker/shard/hosting.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/properties.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;

constexpr std::size_t kLookupsMax = 10'000;
/// Tokens have a client's place here, which is never that high; see Feeds, Serving and HistoryRequests.
constexpr std::uint64_t kNoPlace = (1U << 24) - 3;
constexpr unsigned kPlaceBits = 24;
constexpr std::uint64_t kPlaceMask = (1U << kPlaceBits) - 1;

}  // namespace

void Amendments::look_up(Hosted& hosted, const chat::EntryDraft& draft, const chat::Command& command, Origin origin) {
  auto refusal = Refusal::None;
  const Seq tip = hosted.conversation->tip();
  if (!chat::may(chat::Right::Read, shard_.groups().request(hosted, draft.from, tip))) {
    refusal = Refusal::NotAuthorized;
  } else if (command.content && command.content->size() > shard_.options().message_size_max) {
    refusal = Refusal::TooLarge;
  } else if (command.seq > hosted.conversation->head()) {
    refusal = Refusal::NotFound;  // Nobody can have seen it.
  } else if (looked_up_.size() >= kLookupsMax) {
    refusal = Refusal::Busy;
  }
  if (refusal != Refusal::None) {
    shard_.send_outcome(origin, {.refusal = refusal});
    return;
  }
  const std::uint64_t token = next_++ << kPlaceBits | kNoPlace;
  hosted.lookups.push_back(token);
  looked_up_.emplace(token, ProposeEvent{.conversation = hosted.name,
                                         .kind = draft.kind,
                                         .from = std::string(draft.from),
                                         .id = std::string(draft.id),
                                         .id_from_client = draft.id_from_client,
                                         .properties = {},
                                         .payload = std::string(draft.payload),
                                         .origin = std::move(origin)});
  shard_.store().read_entries(shard_.id(), {.token = token,
                                            .conversation = hosted.conversation->state().number,
                                            .first = command.seq,
                                            .last = command.seq,
                                            .entries_max = 1});
}

bool Amendments::entries_read(std::uint64_t token, const Result<ReadPage>& page) {
  if ((token & kPlaceMask) != kNoPlace) return false;
  const auto found = looked_up_.find(token);
  if (found == looked_up_.end()) return true;
  ProposeEvent proposal = std::move(found->second);
  looked_up_.erase(found);
  if (page) {
    shard_.hosting().amend(std::move(proposal), token, page->entries.empty() ? nullptr : page->entries.front());
  } else {
    shard_.hosting().forget_lookup(proposal.conversation, token);
    shard_.send_outcome(proposal.origin, {.refusal = Refusal::StorageFailed});
  }
  return true;
}

Result<std::optional<Amendments::Amendment>> Amendments::decide(const Hosted& hosted, const chat::EntryDraft& draft,
                                                                const format::EntryPtr& message) const {
  PARLEY_TRY(const chat::Command command, Groups::read(draft.payload));
  const Seq tip = hosted.conversation->tip();
  auto actor = shard_.groups().request(hosted, draft.from, tip);
  std::optional<format::MemberRow> member;
  if (actor.type != format::ConversationType::Direct) member = shard_.groups().find(hosted, draft.from, tip);
  if (member) actor.role = member->role;
  const auto& settings = hosted.group->standing(tip).settings;
  const bool from_joining = settings.visibility == format::Visibility::Private &&
                            settings.history == format::HistoryRule::Joined && member.has_value();
  std::optional<chat::Amended> amended;
  if (message && !(from_joining && command.seq < member->joined)) {
    const format::EntryRecord& entry = **message;
    amended = {entry.kind, entry.from, entry.ts, entry.redacted || hosted.conversation->redacts(entry.seq)};
  }
  const auto window = std::chrono::duration_cast<std::chrono::milliseconds>(shard_.options().edit_window).count();
  PARLEY_TRY(const bool changes, chat::decide_amendment(command, actor, amended ? &*amended : nullptr, shard_.wall(),
                                                        static_cast<std::uint64_t>(window)));
  if (!changes) return std::optional<Amendment>();
  Amendment amendment{.kind = format::EntryKind::Redact, .ref = command.seq, .properties = {}, .payload = {}};
  if (command.op == chat::Op::Edit) {
    amendment.kind = format::EntryKind::Edit;
    amendment.properties = properties_of(command, **message);
    amendment.payload = *command.content;
  }
  return std::optional<Amendment>(std::move(amendment));
}

/// Text or not and of which type, as the edit says it; the sender's own properties stay as they were.
std::string Amendments::properties_of(const chat::Command& command, const format::EntryRecord& message) {
  mqtt::PropertyWriter properties;
  if (command.is_text) properties.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
  if (command.content_type) properties.text(mqtt::PropertyId::ContentType, *command.content_type);
  for (const auto& item : mqtt::Properties::trusted(message.properties)) {
    if (item.id == mqtt::PropertyId::UserProperty) properties.raw(item.raw);
  }
  return std::string(properties.bytes());
}

}  // namespace parley::shard
