#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/routing/subscription_tree.hpp"

namespace parley::routing {

/// Shared subscriptions: each message goes to one member of each matching group, in turn. MQTT 5 §4.8.2. Belongs to one
/// thread.
class SharedGroups {
 public:
  struct Member {
    SubscriberId subscriber = 0;
    mqtt::SubscriptionOptions options;
    std::uint32_t subscription_id = 0;
  };

  /// True when the group is new for `filter`.
  bool add(std::string_view group, std::string_view filter, Member member);
  /// True when the group has gone with its last member.
  bool remove(std::string_view group, std::string_view filter, SubscriberId subscriber);
  [[nodiscard]] bool empty() const { return groups_.empty(); }

  /// For every group that matches `topic`: the next member for which `ready` is true, else simply the next one.
  template <class Ready, class Take>
  void match(std::string_view topic, Ready ready, Take take) {
    if (groups_.empty()) return;
    tree_.match(topic, matches_);
    for (const Match& match : matches_.list) {
      Group& group = groups_by_id_.at(match.subscriber);
      const std::size_t count = group.members.size();
      std::size_t chosen = group.next % count;
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t candidate = (group.next + i) % count;
        if (ready(group.members[candidate])) {
          chosen = candidate;
          break;
        }
      }
      group.next = chosen + 1;
      take(group.members[chosen]);
    }
  }

 private:
  struct Group {
    std::vector<Member> members;
    std::size_t next = 0;
  };

  static std::string key_of(std::string_view group, std::string_view filter);

  SubscriptionTree tree_;  ///< Filters to groups: a SubscriberId in it names a group.
  std::unordered_map<std::string, SubscriberId> groups_;
  std::unordered_map<SubscriberId, Group> groups_by_id_;
  SubscriberId next_id_ = 1;
  Matches matches_;
};

}  // namespace parley::routing
