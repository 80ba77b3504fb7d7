#include "broker/shard/presence.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "base/name.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/presence_events.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/utf8.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;

/// What is said of one user more often waits.
constexpr Duration kInterval = std::chrono::seconds(1);
/// What was said to a node that doesn't lead the slot, and how long that may mean something.
constexpr std::size_t kEarlyMax = 200'000;
constexpr Duration kEarlyWait = std::chrono::seconds(30);
/// Users that are offline and that nobody follows, of whom it is known since when.
constexpr std::size_t kGoneMax = 100'000;

}  // namespace

Presence::Presence(Shard& shard)
    : shard_(shard), timer_(shard.timers()), questions_(shard, timer_), watches_(shard, questions_) {}

std::uint64_t Presence::Relayed::count() const {
  std::uint64_t sum = 0;
  for (const auto& [shard, count] : devices) sum += count;
  return sum;
}

Slot Presence::slot_of(std::string_view user) const { return slot_of_name(user, shard_.options()); }

// -- Connections --

void Presence::connected(Client& client) { count(client, {}, true); }

void Presence::left(Client& client, const session::WillPlan* will) {
  watches_.unwatch_all(client);
  if (!std::exchange(client.is_present, false)) return;
  chat::PresenceReport report;
  const std::string& user = client.session->user();
  if (will != nullptr && check(will->message->topic(), will->message->payload(), user) == Refusal::None) {
    report.parting = will->message->payload();
    const Duration lasts = std::chrono::seconds(client.session->expiry_interval());
    const Duration delay = std::min(will->delay, lasts);
    if (delay > Duration::zero()) report.grace = delay;
  }
  count(client, std::move(report), false);
}

void Presence::count(Client& client, chat::PresenceReport report, bool comes) {
  const std::string& user = client.session->user();
  std::uint64_t& connections = connections_[user];
  connections += comes ? 1 : 0;
  connections -= !comes && connections > 0 ? 1 : 0;
  report.devices = connections;
  if (connections == 0) connections_.erase(user);
  shard_.send(home_of_name(user, shard_.options()), PeerEvent{PresenceEvent{user, shard_.id(), std::move(report)}});
}

Refusal Presence::check(std::string_view topic, std::string_view payload, const std::string& user) {
  if (!topic.starts_with(kPrefix) || !is_name(user_of(topic))) return Refusal::InvalidTopic;
  if (user_of(topic) != user) return Refusal::NotAuthorized;
  if (payload.size() > kStatusSizeMax) return Refusal::TooLarge;
  return mqtt::is_mqtt_utf8(payload) ? Refusal::None : Refusal::InvalidPayload;
}

Refusal Presence::publish(std::string_view topic, std::string_view payload, const std::string& user) {
  const Refusal refusal = check(topic, payload, user);
  if (refusal != Refusal::None) return refusal;
  const auto connections = connections_.find(user);
  chat::PresenceReport report;
  report.devices = connections == connections_.end() ? 0 : connections->second;
  report.status = payload;
  report.status_at = shard_.wall();
  shard_.send(home_of_name(user, shard_.options()), PeerEvent{PresenceEvent{user, shard_.id(), std::move(report)}});
  return Refusal::None;
}

// -- The node's part --

void Presence::report(PresenceEvent& event) {
  Relayed& relayed = relayed_[event.user];
  const bool was_here = relayed.count() != 0;
  std::erase_if(relayed.devices, [&](const auto& one) { return one.first == event.shard; });
  if (event.report.devices != 0) relayed.devices.emplace_back(event.shard, event.report.devices);
  relayed.next.grace = event.report.grace;
  if (event.report.parting) relayed.next.parting = std::move(event.report.parting);
  if (relayed.count() != 0 && event.report.devices != 0) relayed.next.parting.reset();
  if (event.report.status) {
    relayed.status = *event.report.status;
    relayed.status_at = event.report.status_at;
    relayed.next.status = std::move(event.report.status);
    relayed.next.status_at = event.report.status_at;
  }
  const Instant waits_for = std::exchange(relayed.untold, true) ? relayed.due : Instant{};
  const bool is_here = relayed.count() != 0;
  relayed.due = relayed.told == Instant{} ? shard_.now() : relayed.told + kInterval;
  if (is_here && relayed.told_devices == 0) relayed.due = shard_.now();
  if (was_here && !is_here) relayed.left = shard_.now();
  if (relayed.due <= shard_.now()) {
    tell_leader(event.user, relayed);
  } else {
    if (relayed.due != waits_for) untold_.emplace(relayed.due, event.user);
    timer_.start(relayed.due);
  }
}

/// May forget it.
void Presence::tell_leader(const std::string& user, Relayed& relayed) {
  const Slot slot = slot_of(user);
  const auto leadership = shard_.replicas().leadership(slot);
  const bool reachable =
      leadership.state == Leadership::State::Here ||
      (leadership.state == Leadership::State::Elsewhere && shard_.nodes().connected(leadership.node));
  if (!reachable) return;  // It is told once somebody leads.
  chat::PresenceReport report = std::exchange(relayed.next, {});
  report.devices = relayed.told_devices = relayed.count();
  const Instant left = std::exchange(relayed.left, {});
  if (report.devices == 0 && left != Instant{}) {
    const Duration grace = report.grace.value_or(shard_.options().presence_grace);
    report.grace = std::max<Duration>(grace - (shard_.now() - left), Duration::zero());
  }
  relayed.untold = false;
  relayed.told = shard_.now();
  if (leadership.state == Leadership::State::Here) {
    take(shard_.nodes().self(), user, std::move(report));
  } else {
    shard_.nodes().send(leadership.node, NodeChannel::Sessions,
                        remote::encode_for(slot, remote::report_of(user, report)));
  }
  forget_if_unused(std::string(user));
}

void Presence::follow(const PresenceFollowEvent& event) {
  Relayed& relayed = relayed_[event.user];
  std::erase(relayed.followers, event.shard);
  if (event.wanted) {
    relayed.followers.push_back(event.shard);
    if (relayed.follows && relayed.last) {
      shard_.send(event.shard, PeerEvent{PresenceShownEvent{event.user, *relayed.last}});
    }
  }
  const bool wanted = !relayed.followers.empty();
  if (wanted != relayed.follows) follow_leader(event.user, relayed);
  forget_if_unused(event.user);
}

void Presence::follow_leader(const std::string& user, Relayed& relayed) {
  const Slot slot = slot_of(user);
  const auto leadership = shard_.replicas().leadership(slot);
  const bool wanted = !relayed.followers.empty();
  if (!wanted) relayed.last.reset();
  relayed.follows = false;
  if (leadership.state == Leadership::State::Here) {
    relayed.follows = wanted;
    add_follower(shard_.nodes().self(), user, wanted);
  } else if (leadership.state == Leadership::State::Elsewhere && shard_.nodes().connected(leadership.node)) {
    relayed.follows = wanted;
    shard_.nodes().send(leadership.node, NodeChannel::Sessions,
                        remote::encode_for(slot, remote::PresenceFollow{user, wanted}));
  }
}

void Presence::forget_if_unused(const std::string& user) {
  const auto found = relayed_.find(user);
  if (found == relayed_.end()) return;
  const Relayed& relayed = found->second;
  if (relayed.devices.empty() && !relayed.untold && relayed.followers.empty() && !relayed.follows)
    relayed_.erase(found);
}

void Presence::told_by_leader(const std::string& user, const chat::Presence& presence) {
  const auto found = relayed_.find(user);
  if (found == relayed_.end()) return;
  found->second.last = presence;
  for (const ShardId follower : std::vector(found->second.followers)) {
    shard_.send(follower, PeerEvent{PresenceShownEvent{user, presence}});
  }
}

void Presence::receive(NodeId from, const remote::PresenceShown& event) {
  const std::string user(event.user);
  const auto leadership = shard_.replicas().leadership(slot_of(user));
  if (leadership.state == Leadership::State::Elsewhere && leadership.node == from) {
    return told_by_leader(user, remote::presence_of(event));
  }
  const Slot slot = slot_of(user);
  once_led(slot, from, [this, slot, user, told = remote::presence_of(event)] { remember(slot, user, told); });
}

/// Everything that this node has to say to the slot's leader, and wants to hear of it.
void Presence::tell_again(Slot slot) {
  std::vector<std::string> users;
  for (const auto& [user, relayed] : relayed_) {
    if (slot_of(user) == slot) users.push_back(user);
  }
  for (const std::string& user : users) {
    Relayed& relayed = relayed_.at(user);
    if (!relayed.followers.empty()) {
      const auto last = relayed.last;
      follow_leader(user, relayed);
      if (last) tell_last(slot, user, *last);
    }
    if (relayed.status_at.milliseconds != 0 && !relayed.next.status) {
      relayed.next.status = relayed.status;
      relayed.next.status_at = relayed.status_at;
    }
    tell_leader(user, relayed);
  }
}

/// What the last leader said: the next one may have been told less.
void Presence::tell_last(Slot slot, const std::string& user, const chat::Presence& last) {
  const auto leadership = shard_.replicas().leadership(slot);
  if (leadership.state == Leadership::State::Here) {
    remember(slot, user, last);
  } else if (leadership.state == Leadership::State::Elsewhere && shard_.nodes().connected(leadership.node)) {
    shard_.nodes().send(leadership.node, NodeChannel::Sessions, remote::encode_for(slot, remote::shown_of(user, last)));
  }
}

/// Later it is known better here.
void Presence::remember(Slot slot, const std::string& user, const chat::Presence& told) {
  if (!led_since_.contains(slot) || is_settled(slot)) return;
  const auto found = homes_.find(user);
  if (found == homes_.end()) return;
  found->second.presence.remember(told);
  tell(user, found->second);
}

void Presence::leadership_changed(Slot slot, const Leadership& leadership) {
  if (leadership.state != Leadership::State::Here) {
    if (led_since_.erase(slot) != 0) {
      std::erase_if(homes_, [&](const auto& one) { return slot_of(one.first) == slot; });
    }
  } else if (led_since_.try_emplace(slot, shard_.now()).second) {
    const Instant settled = shard_.now() + shard_.options().presence_grace;
    settles_.emplace(settled, slot);
    timer_.start(settled);
  }
  if (leadership.state != Leadership::State::Nobody) {
    take_early(slot);
    tell_again(slot);
  }
}

void Presence::node_connected(NodeId node) {
  std::set<Slot> slots;
  for (const auto& [user, relayed] : relayed_) slots.insert(slot_of(user));
  for (const Slot slot : slots) {
    const auto leadership = shard_.replicas().leadership(slot);
    if (leadership.state == Leadership::State::Elsewhere && leadership.node == node) tell_again(slot);
  }
}

void Presence::node_unreachable(NodeId node) {
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

// -- The leader's part --

bool Presence::is_settled(Slot slot) const {
  const auto found = led_since_.find(slot);
  return found != led_since_.end() && found->second + shard_.options().presence_grace <= shard_.now();
}

void Presence::receive(NodeId from, const remote::PresenceReport& event) {
  const std::string user(event.user);
  once_led(slot_of(user), from,
           [this, from, user, report = remote::report_of(event)] { take(from, user, chat::PresenceReport(report)); });
}

/// Others hear that a node is elected before it leads, and say what they have once. Whatever it doesn't come to lead is
/// said again to the one who does.
void Presence::once_led(Slot slot, NodeId from, std::function<void()> take) {
  if (led_since_.contains(slot)) return take();
  if (early_count_ >= kEarlyMax) {
    log::warn("too much was said of presence to a node that doesn't lead, forgetting it", {{"count", early_count_}});
    early_.clear();
    early_count_ = 0;
  }
  early_[slot].push_back({.from = from, .came = shard_.now(), .take = std::move(take)});
  ++early_count_;
}

void Presence::take_early(Slot slot) {
  auto found = early_.extract(slot);
  if (found.empty()) return;
  early_count_ -= found.mapped().size();
  if (!led_since_.contains(slot)) return;
  for (const Early& one : found.mapped()) {
    if (one.came + kEarlyWait > shard_.now()) one.take();
  }
}

void Presence::receive(NodeId from, const remote::PresenceFollow& event) {
  const std::string user(event.user);
  once_led(slot_of(user), from, [this, from, user, wanted = event.wanted] { add_follower(from, user, wanted); });
}

void Presence::take(NodeId node, const std::string& user, chat::PresenceReport report) {
  Home& home = homes_[user];
  home.presence.take(node, std::move(report), shard_.options().presence_grace, shard_.now(), shard_.wall());
  if (const auto leaves = home.presence.leaves_at()) {
    due_.emplace(*leaves, user);
    timer_.start(*leaves);
  }
  tell(user, home);
}

void Presence::add_follower(NodeId node, const std::string& user, bool wanted) {
  Home& home = homes_[user];
  std::erase(home.followers, node);
  if (!wanted) {
    if (!home.presence.is_known() && home.followers.empty()) homes_.erase(user);
    return;
  }
  home.followers.push_back(node);
  if (home.presence.is_known() || is_settled(slot_of(user))) tell(node, user, home.presence.shown());
}

void Presence::tell(const std::string& user, Home& home) {
  if (!home.presence.is_known() && !is_settled(slot_of(user))) return;
  if (home.told == home.presence.shown()) return;
  if (home.told && home.told_at + kInterval > shard_.now()) {
    if (std::exchange(home.untold, true)) return;
    due_.emplace(home.told_at + kInterval, user);
    timer_.start(home.told_at + kInterval);
    return;
  }
  home.untold = false;
  home.told = home.presence.shown();
  home.told_at = shard_.now();
  for (const NodeId follower : std::vector(home.followers)) tell(follower, user, *homes_.at(user).told);
}

void Presence::tell(NodeId node, const std::string& user, const chat::Presence& presence) {
  if (node == shard_.nodes().self()) {
    told_by_leader(user, chat::Presence(presence));
  } else {
    shard_.nodes().send(node, NodeChannel::Sessions,
                        remote::encode_for(slot_of(user), remote::shown_of(user, presence)));
  }
}

void Presence::settle(Slot slot) {
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

void Presence::run_timer() {
  timer_.rang(shard_.now());
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
  while (!untold_.empty() && untold_.begin()->first <= shard_.now()) {
    const std::string user = untold_.begin()->second;
    untold_.erase(untold_.begin());
    // Has it been told meanwhile, or been put off, there is nothing to do now.
    const auto found = relayed_.find(user);
    if (found == relayed_.end() || !found->second.untold || found->second.due > shard_.now()) continue;
    tell_leader(user, found->second);
  }
  std::optional<Instant> next = questions_.run_timer();
  const auto at = [&next](Instant due) { next = next ? std::min(*next, due) : due; };
  if (!settles_.empty()) at(settles_.begin()->first);
  if (!due_.empty()) at(due_.begin()->first);
  if (!untold_.empty()) at(untold_.begin()->first);
  if (next) timer_.start(*next);
}

void Presence::sweep() {
  watches_.sweep();
  if (homes_.size() < kGoneMax) return;
  std::erase_if(homes_, [](const auto& one) {
    const Home& home = one.second;
    return home.followers.empty() && !home.untold && !home.presence.shown().online;
  });
}

// -- Members that go --

void Presence::recheck_here(const std::string& user) {
  const auto found = relayed_.find(user);
  if (found == relayed_.end()) return;
  for (const ShardId follower : std::vector(found->second.followers)) {
    shard_.send(follower, PeerEvent{PresenceRecheckEvent{user}});
  }
}

void Presence::receive(const remote::PresenceRecheck& event) { recheck_here(std::string(event.user)); }

void Presence::user_left(std::string_view user) {
  const auto found = homes_.find(user);
  if (found == homes_.end()) return;
  const std::string name = found->first;
  for (const NodeId node : std::vector(found->second.followers)) {
    if (node == shard_.nodes().self()) {
      recheck_here(name);
    } else {
      shard_.nodes().send(node, NodeChannel::Sessions,
                          remote::encode_for(slot_of(name), remote::PresenceRecheck{name}));
    }
  }
}

// -- Who of some users is online --

void Presence::asked(const OnlineAskEvent& event) {
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

}  // namespace parley::shard
