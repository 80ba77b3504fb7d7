#include "broker/chat/conversation.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace parley::chat {
namespace {

/// NUL stands in no user name, so the pair can't be read two ways.
std::string key_of(std::string_view from, std::string_view id) {
  std::string key;
  key.reserve(from.size() + 1 + id.size());
  key.append(from).append(1, '\0').append(id);
  return key;
}

}  // namespace

Conversation::Place Conversation::propose(const EntryDraft& draft, Timestamp now) {
  tip_ = tip_.next();
  tip_ts_ = std::max(tip_ts_, now);
  // An id that had been used before is one that is no longer remembered: this use counts from now on.
  if (draft.id_from_client) {
    recent_ids_.insert_or_assign(key_of(draft.from, draft.id),
                                 FirstUse{tip_, tip_ts_, draft.kind != format::EntryKind::Message});
  }
  if (draft.kind == format::EntryKind::Redact) redactions_.push_back({tip_, draft.ref});
  return {tip_, tip_ts_};
}

bool Conversation::redacts(Seq message) const {
  return std::ranges::find(redactions_, message, &Redaction::message) != redactions_.end();
}

void Conversation::materialised(Seq upto) {
  std::erase_if(redactions_, [upto](const Redaction& one) { return one.seq <= upto; });
}

std::optional<FirstUse> Conversation::recent_use(std::string_view from, std::string_view id) const {
  if (recent_ids_.empty()) return std::nullopt;
  const auto found = recent_ids_.find(key_of(from, id));
  if (found == recent_ids_.end()) return std::nullopt;
  return found->second;
}

bool Conversation::still_remembered(const FirstUse& use, Timestamp now) const {
  return use.seq.value + kIdempotenceEntries > tip_.value ||
         use.ts.milliseconds + kIdempotenceMilliseconds > now.milliseconds;
}

void Conversation::remember(std::string_view from, std::string_view id, FirstUse use) {
  recent_ids_.insert_or_assign(key_of(from, id), use);
}

void Conversation::forget(std::string_view from, std::string_view id) { recent_ids_.erase(key_of(from, id)); }

void Conversation::committed(Seq upto, Timestamp ts) {
  PARLEY_CHECK(upto > state_.head && upto <= tip_, "an entry was committed that was not proposed next");
  state_.head = upto;
  state_.last_ts = std::max(state_.last_ts, ts);
}

void Conversation::rolled_back(Seq tip) {
  PARLEY_CHECK(tip >= state_.head && tip <= tip_, "entries are rolled back that were committed or never proposed");
  tip_ = tip;
  if (tip_ == state_.head) tip_ts_ = state_.last_ts;
  std::erase_if(redactions_, [&](const Redaction& one) { return one.seq > tip_; });
  std::erase_if(recent_ids_, [&](const auto& entry) { return entry.second.seq > tip_; });
}

}  // namespace parley::chat
