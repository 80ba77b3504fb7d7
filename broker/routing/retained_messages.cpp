#include "broker/routing/retained_messages.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "mqtt/topic.hpp"

namespace parley::routing {
namespace {

bool is_alive(const mqtt::MessagePtr& message, Instant now) {
  return message && (!message->expires() || *message->expires() > now);
}

/// The same message, told by a node that doesn't know who has published it.
template <class Node>
bool is_poorer(const mqtt::Message& message, const RetainStamp& stamp, const Node& node) {
  return stamp != RetainStamp{} && stamp == node.stamp && message.publisher() == 0 && node.message->publisher() != 0;
}

/// What is left of the topic behind which a walk goes on, at a node on the way to it; nullopt beside that way, where
/// everything is to be visited. A node on the way was visited before its children were.
using Behind = std::optional<mqtt::Levels>;

/// Calls `descend(child, name, behind)` for the children that are to be visited, in their order, until it returns
/// false.
template <class Node, class Descend>
bool for_children(const Node& node, Behind behind, bool skip_system, const Descend& descend) {
  const auto last = behind ? behind->next() : std::nullopt;
  auto child = last ? node.children.lower_bound(*last) : node.children.begin();
  for (; child != node.children.end(); ++child) {
    if (skip_system && child->first.starts_with('$')) continue;
    const bool is_on_the_way = last && child->first == *last;
    if (!descend(*child->second, is_on_the_way ? behind : Behind())) return false;
  }
  return true;
}

template <class Node, class Visit>
bool visit_all(const Node& node, Behind behind, Instant now, bool skip_system, const Visit& visit) {
  if (!behind && is_alive(node.message, now) && !visit(node)) return false;
  return for_children(node, behind, skip_system,
                      [&](const Node& child, const Behind& rest) { return visit_all(child, rest, now, false, visit); });
}

template <class Node, class Visit>
bool walk(const Node& node, mqtt::Levels filter, Behind behind, bool first, Instant now, const Visit& visit) {
  const auto level = filter.next();
  if (!level) return behind || !is_alive(node.message, now) || visit(node);
  // §4.7.2: no wildcard at the beginning stands for the $ topics.
  if (*level == "#") return visit_all(node, behind, now, first, visit);
  if (*level == "+") {
    return for_children(node, behind, first, [&](const Node& child, const Behind& rest) {
      return walk(child, filter, rest, false, now, visit);
    });
  }
  const auto child = node.children.find(*level);
  const auto last = behind ? behind->next() : std::nullopt;
  if (child == node.children.end() || (last && *level < *last)) return true;
  return walk(*child->second, filter, last && *level == *last ? behind : Behind(), false, now, visit);
}

}  // namespace

Result<void> RetainedMessages::set(const mqtt::MessagePtr& message, const RetainStamp& stamp, std::uint64_t number,
                                   Outcome* outcome) {
  Outcome unused;
  Outcome& out = outcome != nullptr ? *outcome : unused;
  out = {};
  const bool removal = message->payload().empty();
  // No filter can name more levels one by one, and the walks go one call deeper for each.
  if (std::ranges::count(message->topic(), '/') >= static_cast<std::ptrdiff_t>(mqtt::kFilterLevelsMax)) {
    return mqtt::ReasonCode::QuotaExceeded;
  }
  Node* node = &root_;
  mqtt::Levels levels(message->topic());
  while (const auto level = levels.next()) {
    auto child = node->children.find(*level);
    if (child == node->children.end()) {
      if (removal) return {};
      if (count_ >= limits_.count_max || bytes_ + message->size() > limits_.bytes_max) {
        return mqtt::ReasonCode::QuotaExceeded;
      }
      child = node->children.emplace(std::string(*level), std::make_unique<Node>()).first;
    }
    node = child->second.get();
  }
  if (node->message && (stamp < node->stamp || is_poorer(*message, stamp, *node))) {
    out.older = true;
    return {};
  }
  if (removal) {
    out.replaced = remove(message->topic());
    return {};
  }
  const std::size_t freed = node->message ? node->message->size() : 0;
  if ((!node->message && count_ >= limits_.count_max) || bytes_ - freed + message->size() > limits_.bytes_max) {
    return mqtt::ReasonCode::QuotaExceeded;
  }
  out.replaced = node->number;
  drop(*node);
  node->message = message;
  node->stamp = stamp;
  node->number = number;
  node->arrival = ++arrivals_;
  ++count_;
  bytes_ += message->size();
  if (const auto expires = message->expires()) expiring_.emplace(*expires, node);
  return {};
}

/// With the branches that then lead nowhere. The number of what went.
std::uint64_t RetainedMessages::remove(std::string_view topic) {
  std::vector<std::pair<Node*, std::string_view>> path;
  Node* node = &root_;
  mqtt::Levels levels(topic);
  while (const auto level = levels.next()) {
    path.emplace_back(node, *level);
    node = node->children.find(*level)->second.get();
  }
  const std::uint64_t number = node->number;
  drop(*node);
  while (!path.empty() && node->children.empty() && !node->message) {
    const auto [parent, level] = path.back();
    path.pop_back();
    parent->children.erase(parent->children.find(level));
    node = parent;
  }
  return number;
}

void RetainedMessages::drop(Node& node) {
  if (!node.message) return;
  --count_;
  bytes_ -= node.message->size();
  if (const auto expires = node.message->expires()) expiring_.erase({*expires, &node});
  node.message.reset();
  node.number = 0;
}

void RetainedMessages::match(std::string_view filter, Instant now, const Visit& visit) const {
  walk(root_, mqtt::Levels(filter), {}, true, now, [&](const Node& one) {
    visit(one.message);
    return true;
  });
}

bool RetainedMessages::match_some(std::string_view filter, std::string_view behind, Instant now,
                                  const VisitSome& visit) const {
  return walk(root_, mqtt::Levels(filter), behind.empty() ? Behind() : Behind(mqtt::Levels(behind)), true, now,
              [&](const Node& one) { return visit(one.message, one.arrival); });
}

void RetainedMessages::for_each(Instant now,
                                const std::function<void(const mqtt::MessagePtr&, const RetainStamp&)>& visit) const {
  visit_all(root_, {}, now, true, [&](const Node& one) {
    visit(one.message, one.stamp);
    return true;
  });
}

bool RetainedMessages::sweep(Instant now, std::size_t most, std::vector<std::uint64_t>& numbers) {
  for (; most > 0 && !expiring_.empty() && expiring_.begin()->first <= now; --most) {
    const mqtt::MessagePtr message = expiring_.begin()->second->message;  // Its topic is read on the way.
    if (const auto number = remove(message->topic()); number != 0) numbers.push_back(number);
  }
  return expiring_.empty() || expiring_.begin()->first > now;
}

}  // namespace parley::routing
