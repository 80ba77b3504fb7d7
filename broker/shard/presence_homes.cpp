#include "broker/shard/presence_homes.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/presence_events.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

/// What followers would hear of one user more often waits.
constexpr Duration kInterval = std::chrono::seconds(1);
/// What was said to a node that doesn't lead the slot, and how long that may mean something.
constexpr std::size_t kEarlyMax = 200'000;
constexpr Duration kEarlyWait = std::chrono::seconds(30);
/// Users that are offline and that nobody follows, of whom it is known since when.
constexpr std::size_t kGoneMax = 100'000;

}  // namespace

Slot PresenceHomes::slot_of(std::string_view user) const { return slot_of_name(user, shard_.options()); }

// -- What nodes say --

void PresenceHomes::take(NodeId node, const std::string& user, chat::PresenceReport report) {
  Home& home = homes_[user];
  home.presence.take(node, std::move(report), shard_.options().presence_grace, shard_.now(), shard_.wall());
  if (const auto leaves = home.presence.leaves_at()) look_at(*leaves, user);
  tell(user, home);
}

void PresenceHomes::follow(NodeId node, const std::string& user, bool wanted) {
  Home& home = homes_[user];
  std::erase(home.followers, node);
  if (!wanted) {
    if (!home.presence.is_known() && home.followers.empty()) homes_.erase(user);
    return;
  }
  home.followers.push_back(node);
  if (home.presence.is_known() || is_settled(slot_of(user))) tell(node, user, home.presence.shown());
}

void PresenceHomes::remember(const std::string& user, const chat::Presence& told) {
  const Slot slot = slot_of(user);
  if (!led_since_.contains(slot) || is_settled(slot)) return;
  const auto found = homes_.find(user);
  if (found == homes_.end()) return;
  found->second.presence.remember(told);
  tell(user, found->second);
}

void PresenceHomes::receive(NodeId from, const remote::PresenceReport& event) {
  const std::string user(event.user);
  once_led(slot_of(user), from,
           [this, from, user, report = remote::report_of(event)] { take(from, user, chat::PresenceReport(report)); });
}

void PresenceHomes::receive(NodeId from, const remote::PresenceFollow& event) {
  const std::string user(event.user);
  once_led(slot_of(user), from, [this, from, user, wanted = event.wanted] { follow(from, user, wanted); });
}

void PresenceHomes::receive(NodeId from, const remote::PresenceShown& event) {
  const std::string user(event.user);
  once_led(slot_of(user), from, [this, user, told = remote::presence_of(event)] { remember(user, told); });
}

/// Others hear that a node is elected before it leads, and say what they have once. Whatever it doesn't come to lead is
/// said again to the one who does.
void PresenceHomes::once_led(Slot slot, NodeId from, std::function<void()> take) {
  if (led_since_.contains(slot)) return take();
  if (early_count_ >= kEarlyMax) {
    log::warn("too much was said of presence to a node that doesn't lead, forgetting it", {{"count", early_count_}});
    early_.clear();
    early_count_ = 0;
  }
  early_[slot].push_back({.from = from, .came = shard_.now(), .take = std::move(take)});
  ++early_count_;
}

void PresenceHomes::take_early(Slot slot) {
  auto found = early_.extract(slot);
  if (found.empty()) return;
  early_count_ -= found.mapped().size();
  if (!led_since_.contains(slot)) return;
  for (const Early& one : found.mapped()) {
    if (one.came + kEarlyWait > shard_.now()) one.take();
  }
}

// -- What they hear --

void PresenceHomes::tell(const std::string& user, Home& home) {
  if (!home.presence.is_known() && !is_settled(slot_of(user))) return;
  if (home.told == home.presence.shown()) return;
  if (home.told && home.told_at + kInterval > shard_.now()) {
    if (std::exchange(home.untold, true)) return;
    return look_at(home.told_at + kInterval, user);
  }
  home.untold = false;
  home.told = home.presence.shown();
  home.told_at = shard_.now();
  for (const NodeId follower : std::vector(home.followers)) tell(follower, user, *homes_.at(user).told);
}

void PresenceHomes::tell(NodeId node, const std::string& user, const chat::Presence& presence) {
  if (node == shard_.nodes().self()) {
    here_.told(user, chat::Presence(presence));
  } else {
    shard_.nodes().send(node, NodeChannel::Sessions,
                        remote::encode_for(slot_of(user), remote::shown_of(user, presence)));
  }
}

void PresenceHomes::user_left(std::string_view user) {
  const auto found = homes_.find(user);
  if (found == homes_.end()) return;
  const std::string name = found->first;
  for (const NodeId node : std::vector(found->second.followers)) {
    if (node == shard_.nodes().self()) {
      here_.recheck(name);
    } else {
      shard_.nodes().send(node, NodeChannel::Sessions,
                          remote::encode_for(slot_of(name), remote::PresenceRecheck{name}));
    }
  }
}

void PresenceHomes::asked(const OnlineAskEvent& event) {
  const auto leadership = shard_.replicas().leadership(event.slot);
  if (leadership.state == Leadership::State::Elsewhere && !event.is_forwarded) {
    shard_.nodes().send(leadership.node, NodeChannel::Sessions, remote::encode_for(event.slot, remote::ask_of(event)));
    return;
  }
  OnlineAnswerEvent answer{.token = event.token, .asked = event.users.size(), .online = {}};
  for (const std::string& user : event.users) {
    const auto home = homes_.find(user);
    if (home != homes_.end() && home->second.presence.shown().online) answer.online.push_back(user);
  }
  if (event.node == shard_.nodes().self()) {
    shard_.send(event.shard, PeerEvent{std::move(answer)});
  } else {
    shard_.nodes().send(event.node, NodeChannel::Sessions,
                        remote::encode_for_shard(event.shard, remote::answer_of(answer)));
  }
}

// -- Who leads, and who is there --

void PresenceHomes::leadership_changed(Slot slot, const Leadership& leadership) {
  if (leadership.state != Leadership::State::Here) {
    if (led_since_.erase(slot) != 0) {
      std::erase_if(homes_, [&](const auto& one) { return slot_of(one.first) == slot; });
    }
  } else if (led_since_.try_emplace(slot, shard_.now()).second) {
    const Instant settled = shard_.now() + shard_.options().presence_grace;
    settles_.emplace(settled, slot);
    timer_.start(settled);
  }
  if (leadership.state != Leadership::State::Nobody) take_early(slot);
}

void PresenceHomes::node_unreachable(NodeId node) {
  for (auto& [slot, list] : early_) {
    early_count_ -= std::erase_if(list, [node](const Early& one) { return one.from == node; });
  }
  std::vector<std::string> users;
  for (auto& [user, home] : homes_) {
    std::erase(home.followers, node);
    if (home.presence.has(node)) users.push_back(user);
  }
  for (const std::string& user : users) take(node, user, {});
}

bool PresenceHomes::is_settled(Slot slot) const {
  const auto found = led_since_.find(slot);
  return found != led_since_.end() && found->second + shard_.options().presence_grace <= shard_.now();
}

void PresenceHomes::settle(Slot slot) {
  if (!is_settled(slot)) return;
  std::vector<std::string> users;
  for (auto& [user, home] : homes_) {
    if (slot_of(user) != slot) continue;
    home.presence.settle();
    if (!home.presence.is_known()) users.push_back(user);
  }
  for (const std::string& user : users) tell(user, homes_.at(user));
}

// -- Time --

void PresenceHomes::look_at(Instant due, const std::string& user) {
  due_.emplace(due, user);
  timer_.start(due);
}

std::optional<Instant> PresenceHomes::run_timer() {
  while (!settles_.empty() && settles_.begin()->first <= shard_.now()) {
    const Slot slot = settles_.begin()->second;
    settles_.erase(settles_.begin());
    settle(slot);
  }
  while (!due_.empty() && due_.begin()->first <= shard_.now()) {
    const std::string user = due_.begin()->second;
    due_.erase(due_.begin());
    const auto found = homes_.find(user);
    if (found == homes_.end()) continue;
    found->second.presence.look(shard_.now());
    tell(user, found->second);
  }
  std::optional<Instant> next;
  if (!settles_.empty()) next = settles_.begin()->first;
  if (!due_.empty()) next = std::min(next.value_or(Instant::max()), due_.begin()->first);
  return next;
}

bool PresenceHomes::sweep(std::size_t most) {
  if (homes_.size() < kGoneMax) return true;
  return sweep_.step(homes_, most, [](const auto& one) {
    const Home& home = one.second;
    return home.followers.empty() && !home.untold && !home.presence.shown().online;
  });
}

}  // namespace parley::shard
