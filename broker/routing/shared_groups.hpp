#pragma once

#include <cstdint>
#include <memory>
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
    bool ready = true;       ///< Its client is connected.
    bool elsewhere = false;  ///< Stands for the members on another node.
  };

  /// True when the group is new for `filter`.
  bool add(std::string_view group, std::string_view filter, Member member);
  /// True when the group has gone with its last member.
  bool remove(std::string_view group, std::string_view filter, SubscriberId subscriber);
  [[nodiscard]] bool empty() const { return groups_.empty(); }
  void set_ready(std::string_view group, std::string_view filter, SubscriberId subscriber, bool ready);

  /// A group's subscription as its members wrote it, `$share/{group}/{filter}`; shared by what is delivered for it.
  using Name = std::shared_ptr<const std::string>;
  /// For every group that matches `topic`: the next member that is ready, else simply the next one.
  template <class Take>
  void match(std::string_view topic, Take take) {
    if (groups_.empty()) return;
    tree_.match(topic, matches_);
    for (const Match& match : matches_.list) {
      Group& group = groups_by_id_.at(match.subscriber);
      take(choose(group), group.name);
    }
  }
  /// Chooses a member of this group alone. Null when it has gone.
  const Member* choose(std::string_view group, std::string_view filter);
  /// Of those that aren't elsewhere.
  const Member* choose_here(std::string_view group, std::string_view filter);

  /// Members that aren't elsewhere, and how many of them are ready.
  struct Standing {
    std::size_t members = 0;
    std::size_t ready = 0;
  };
  [[nodiscard]] Standing standing(std::string_view group, std::string_view filter);
  /// Every group's name.
  [[nodiscard]] std::vector<Name> names() const;

 private:
  struct Group {
    std::vector<Member> members;
    std::size_t next = 0;
    Name name;
  };

  static std::string key_of(std::string_view group, std::string_view filter);
  Group* find(std::string_view group, std::string_view filter);
  static const Member& choose(Group& group);
  static const Member* choose_next(Group& group, bool here, bool ready);

  SubscriptionTree tree_;  ///< Filters to groups: a SubscriberId in it names a group.
  std::unordered_map<std::string, SubscriberId> groups_;
  std::unordered_map<SubscriberId, Group> groups_by_id_;
  SubscriberId next_id_ = 1;
  Matches matches_;
};

}  // namespace parley::routing
