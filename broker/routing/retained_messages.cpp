#include "broker/routing/retained_messages.hpp"

#include <algorithm>
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

template <class Node, class Visit>
void visit_all(const Node& node, Instant now, bool skip_system, const Visit& visit) {
  if (is_alive(node.message, now)) visit(node);
  for (const auto& [level, child] : node.children) {
    if (skip_system && level.starts_with('$')) continue;
    visit_all(*child, now, false, visit);
  }
}

template <class Node>
void walk(const Node& node, mqtt::Levels rest, bool first, Instant now, const RetainedMessages::Visit& visit) {
  const auto level = rest.next();
  if (!level) {
    if (is_alive(node.message, now)) visit(node.message);
  } else if (*level == "#") {
    // §4.7.2: not the $ topics.
    visit_all(node, now, first, [&](const Node& one) { visit(one.message); });
  } else if (*level == "+") {
    for (const auto& [name, child] : node.children) {
      if (!(first && name.starts_with('$'))) walk(*child, rest, false, now, visit);
    }
  } else if (const auto child = node.children.find(*level); child != node.children.end()) {
    walk(*child->second, rest, false, now, visit);
  }
}

}  // namespace

Result<void> RetainedMessages::set(const mqtt::MessagePtr& message, const RetainStamp& stamp, std::uint64_t number,
                                   Outcome* outcome) {
  Outcome unused;
  Outcome& out = outcome != nullptr ? *outcome : unused;
  out = {};
  struct Step {
    Node* parent;
    std::string_view level;
  };
  const bool removal = message->payload().empty();
  // No filter can name more levels one by one, and the walks go one call deeper for each.
  if (std::ranges::count(message->topic(), '/') >= static_cast<std::ptrdiff_t>(mqtt::kFilterLevelsMax)) {
    return mqtt::ReasonCode::QuotaExceeded;
  }
  std::vector<Step> path;
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
    path.push_back({node, child->first});
    node = child->second.get();
  }
  if (node->message && (stamp < node->stamp || is_poorer(*message, stamp, *node))) {
    out.older = true;
    return {};
  }
  if (!removal) {
    const std::size_t freed = node->message ? node->message->size() : 0;
    if ((!node->message && count_ >= limits_.count_max) || bytes_ - freed + message->size() > limits_.bytes_max) {
      return mqtt::ReasonCode::QuotaExceeded;
    }
    out.replaced = node->number;
    drop(*node);
    node->message = message;
    node->stamp = stamp;
    node->number = number;
    ++count_;
    bytes_ += message->size();
    return {};
  }
  out.replaced = node->number;
  drop(*node);
  while (!path.empty() && node->children.empty() && !node->message) {
    const Step step = path.back();
    path.pop_back();
    node = step.parent;
    node->children.erase(node->children.find(step.level));
  }
  return {};
}

void RetainedMessages::drop(Node& node) {
  if (!node.message) return;
  --count_;
  bytes_ -= node.message->size();
  node.message.reset();
  node.number = 0;
}

void RetainedMessages::match(std::string_view filter, Instant now, const Visit& visit) const {
  walk(root_, mqtt::Levels(filter), true, now, visit);
}

void RetainedMessages::for_each(Instant now,
                                const std::function<void(const mqtt::MessagePtr&, const RetainStamp&)>& visit) const {
  visit_all(root_, now, true, [&](const Node& one) { visit(one.message, one.stamp); });
}

void RetainedMessages::sweep(Instant now, std::vector<std::uint64_t>& numbers) { sweep(root_, now, numbers); }

/// True when the node is empty afterwards.
bool RetainedMessages::sweep(Node& node, Instant now, std::vector<std::uint64_t>& numbers) {
  if (node.message && !is_alive(node.message, now)) {
    if (node.number != 0) numbers.push_back(node.number);
    drop(node);
  }
  std::erase_if(node.children, [&](auto& child) { return sweep(*child.second, now, numbers); });
  return node.children.empty() && !node.message;
}

}  // namespace parley::routing
