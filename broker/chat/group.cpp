#include "broker/chat/group.hpp"

#include <algorithm>

namespace parley::chat {
namespace {

void count(Group::Standing& standing, const std::optional<format::MemberRow>& member, int by) {
  if (!member) return;
  standing.members += static_cast<std::uint64_t>(by);
  if (member->role == format::Role::Owner) standing.owners += static_cast<std::uint64_t>(by);
}

}  // namespace

void Group::apply(const format::EntryRecord& entry, const std::optional<format::MemberRow>& before) {
  Change change{.seq = entry.seq, .before = standing_, .user = {}, .member = std::nullopt};
  if (entry.kind == format::EntryKind::Settings) {
    auto settings = format::decode_settings(entry.payload);
    if (!settings) return;
    standing_.settings = *std::move(settings);
  } else {
    const auto member = format::decode_member_change(entry.payload);
    if (!member) return;
    change.user = member->user;
    if (!member->ends()) change.member = format::MemberRow{member->role, before ? before->joined : entry.seq};
    count(standing_, before, -1);
    count(standing_, change.member, 1);
    users_[change.user].emplace_back(change.seq, change.member);
  }
  changes_.push_back(std::move(change));
}

void Group::rolled_back(Seq tip) {
  while (!changes_.empty() && changes_.back().seq > tip) {
    Change& last = changes_.back();
    standing_ = std::move(last.before);
    if (!last.user.empty()) {
      const auto found = users_.find(last.user);
      found->second.pop_back();
      if (found->second.empty()) users_.erase(found);
    }
    changes_.pop_back();
  }
}

void Group::materialised(Seq seq) {
  while (!changes_.empty() && changes_.front().seq <= seq) {
    const Change& first = changes_.front();
    if (!first.user.empty()) {
      const auto found = users_.find(first.user);
      found->second.erase(found->second.begin());
      if (found->second.empty()) users_.erase(found);
    }
    changes_.pop_front();
  }
}

std::optional<std::optional<format::MemberRow>> Group::find(std::string_view user, Seq upto) const {
  if (users_.empty()) return std::nullopt;
  const auto found = users_.find(std::string(user));
  if (found == users_.end()) return std::nullopt;
  for (auto change = found->second.rbegin(); change != found->second.rend(); ++change) {
    if (change->first <= upto) return change->second;
  }
  return std::nullopt;
}

const Group::Standing& Group::standing(Seq upto) const {
  const auto later = std::ranges::find_if(changes_, [upto](const Change& change) { return change.seq > upto; });
  return later == changes_.end() ? standing_ : later->before;
}

std::vector<std::pair<std::string, std::optional<format::MemberRow>>> Group::changed(Seq upto) const {
  std::vector<std::pair<std::string, std::optional<format::MemberRow>>> list;
  for (const auto& [user, changes] : users_) {
    if (const auto last = find(user, upto)) list.emplace_back(user, *last);
  }
  std::ranges::sort(list, {}, &std::pair<std::string, std::optional<format::MemberRow>>::first);
  return list;
}

}  // namespace parley::chat
