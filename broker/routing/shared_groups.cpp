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
  Group& entry = groups_by_id_[place->second];
  if (added) entry.name = std::make_shared<const std::string>(std::string("$share/").append(place->first));
  auto& members = entry.members;
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

SharedGroups::Group* SharedGroups::find(std::string_view group, std::string_view filter) {
  const auto found = groups_.find(key_of(group, filter));
  return found == groups_.end() ? nullptr : &groups_by_id_[found->second];
}

void SharedGroups::set_ready(std::string_view group, std::string_view filter, SubscriberId subscriber, bool ready) {
  Group* found = find(group, filter);
  if (found == nullptr) return;
  const auto member = std::ranges::find(found->members, subscriber, &Member::subscriber);
  if (member != found->members.end()) member->ready = ready;
}

const SharedGroups::Member* SharedGroups::choose(std::string_view group, std::string_view filter) {
  Group* found = find(group, filter);
  return found == nullptr ? nullptr : &choose(*found);
}

const SharedGroups::Member* SharedGroups::choose_here(std::string_view group, std::string_view filter) {
  Group* found = find(group, filter);
  if (found == nullptr) return nullptr;
  const Member* ready = choose_next(*found, true, true);
  return ready != nullptr ? ready : choose_next(*found, true, false);
}

const SharedGroups::Member& SharedGroups::choose(Group& group) {
  const Member* ready = choose_next(group, false, true);
  return ready != nullptr ? *ready : *choose_next(group, false, false);
}

/// The next one in turn, if there is one like that.
const SharedGroups::Member* SharedGroups::choose_next(Group& group, bool here, bool ready) {
  const std::size_t count = group.members.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t candidate = (group.next + i) % count;
    const Member& member = group.members[candidate];
    if ((here && member.elsewhere) || (ready && !member.ready)) continue;
    group.next = candidate + 1;
    return &member;
  }
  return nullptr;
}

SharedGroups::Standing SharedGroups::standing(std::string_view group, std::string_view filter) {
  Standing standing;
  const Group* found = find(group, filter);
  if (found == nullptr) return standing;
  for (const Member& member : found->members) {
    if (member.elsewhere) continue;
    ++standing.members;
    if (member.ready) ++standing.ready;
  }
  return standing;
}

std::vector<SharedGroups::Name> SharedGroups::names() const {
  std::vector<Name> names;
  for (const auto& [id, group] : groups_by_id_) names.push_back(group.name);
  return names;
}

}  // namespace parley::routing
