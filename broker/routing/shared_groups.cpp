#include "broker/routing/shared_groups.hpp"

#include <algorithm>

namespace parley::routing {

/// A share name has no slash, so the key can't be read two ways.
std::string SharedGroups::key_of(std::string_view group, std::string_view filter) {
  return std::string(group).append("/").append(filter);
}

bool SharedGroups::add(std::string_view group, std::string_view filter, Member member) {
  const auto [place, added] = groups_.try_emplace(key_of(group, filter), next_id_);
  if (added) {
    tree_.add(filter, next_id_, {}, 0);
    ++next_id_;
  }
  auto& members = groups_by_id_[place->second].members;
  const auto known = std::ranges::find(members, member.subscriber, &Member::subscriber);
  if (known != members.end()) {
    *known = member;
  } else {
    members.push_back(member);
  }
  return added;
}

bool SharedGroups::remove(std::string_view group, std::string_view filter, SubscriberId subscriber) {
  const auto found = groups_.find(key_of(group, filter));
  if (found == groups_.end()) return false;
  auto& members = groups_by_id_[found->second].members;
  std::erase_if(members, [&](const Member& member) { return member.subscriber == subscriber; });
  if (!members.empty()) return false;
  tree_.remove(filter, found->second);
  groups_by_id_.erase(found->second);
  groups_.erase(found);
  return true;
}

}  // namespace parley::routing
