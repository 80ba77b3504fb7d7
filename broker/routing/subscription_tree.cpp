#include "broker/routing/subscription_tree.hpp"

#include <algorithm>

#include "mqtt/topic.hpp"

namespace parley::routing {
namespace {

/// Visits the subscribers of every node below `node` that matches `topic` from its `rest` on. `rest` is nothing at the
/// end of the topic. §4.7.1.
template <class Node, class Visit>
void walk(const Node& node, mqtt::Levels rest, bool first_of_system_topic, Visit& visit) {
  const auto level = rest.next();
  if (!level) {
    if (!node.subscribers.empty()) visit(node.subscribers);
    // "a/#" matches "a" as well.
    if (const auto all = node.children.find(std::string_view("#")); all != node.children.end()) {
      visit(all->second->subscribers);
    }
    return;
  }
  if (const auto exact = node.children.find(*level); exact != node.children.end() && *level != "+" && *level != "#") {
    walk(*exact->second, rest, false, visit);
  }
  if (first_of_system_topic) return;  // §4.7.2
  if (const auto one = node.children.find(std::string_view("+")); one != node.children.end()) {
    walk(*one->second, rest, false, visit);
  }
  if (const auto all = node.children.find(std::string_view("#")); all != node.children.end()) {
    visit(all->second->subscribers);
  }
}

}  // namespace

bool SubscriptionTree::insert(Subscribers& subscribers, Subscriber subscriber) {
  // Sorted, so that thousands of subscribers of one filter are found quickly; appended in the usual case.
  const auto place = std::ranges::lower_bound(subscribers, subscriber.id, {}, &Subscriber::id);
  if (place != subscribers.end() && place->id == subscriber.id) {
    *place = subscriber;
    return false;
  }
  subscribers.insert(place, subscriber);
  return true;
}

bool SubscriptionTree::erase(Subscribers& subscribers, SubscriberId subscriber) {
  const auto place = std::ranges::lower_bound(subscribers, subscriber, {}, &Subscriber::id);
  if (place == subscribers.end() || place->id != subscriber) return false;
  subscribers.erase(place);
  return true;
}

bool SubscriptionTree::add(std::string_view filter, SubscriberId subscriber, mqtt::SubscriptionOptions options,
                           std::uint32_t subscription_id) {
  const Subscriber entry{subscriber, subscription_id, options};
  bool added = false;
  if (mqtt::has_wildcard(filter) && mqtt::level_count(filter) > mqtt::kFilterLevelsMax) return false;
  if (!mqtt::has_wildcard(filter)) {
    auto found = exact_.find(filter);
    if (found == exact_.end()) found = exact_.emplace(std::string(filter), Subscribers()).first;
    added = insert(found->second, entry);
  } else {
    Node* node = &root_;
    mqtt::Levels levels(filter);
    while (const auto level = levels.next()) {
      auto child = node->children.find(*level);
      if (child == node->children.end()) {
        child = node->children.emplace(std::string(*level), std::make_unique<Node>()).first;
      }
      node = child->second.get();
    }
    added = insert(node->subscribers, entry);
    if (added) ++wildcards_;
  }
  if (added) ++size_;
  return added;
}

bool SubscriptionTree::remove(std::string_view filter, SubscriberId subscriber) {
  if (!mqtt::has_wildcard(filter)) {
    const auto found = exact_.find(filter);
    if (found == exact_.end() || !erase(found->second, subscriber)) return false;
    if (found->second.empty()) exact_.erase(found);
    --size_;
    return true;
  }
  struct Step {
    Node* parent;
    std::string_view level;
  };
  std::vector<Step> path;
  Node* node = &root_;
  mqtt::Levels levels(filter);
  while (const auto level = levels.next()) {
    const auto child = node->children.find(*level);
    if (child == node->children.end()) return false;
    path.push_back({node, *level});
    node = child->second.get();
  }
  if (!erase(node->subscribers, subscriber)) return false;
  --size_;
  --wildcards_;
  while (!path.empty() && node->empty()) {
    const Step step = path.back();
    path.pop_back();
    step.parent->children.erase(step.parent->children.find(step.level));
    node = step.parent;
  }
  return true;
}

template <class Visit>
void SubscriptionTree::visit_matches(std::string_view topic, Visit visit) const {
  if (const auto found = exact_.find(topic); found != exact_.end()) visit(found->second);
  if (wildcards_ != 0) walk(root_, mqtt::Levels(topic), topic.starts_with('$'), visit);
}

bool SubscriptionTree::has_match(std::string_view topic) const {
  bool found = false;
  visit_matches(topic, [&](const Subscribers& subscribers) { found = found || !subscribers.empty(); });
  return found;
}

void SubscriptionTree::match(std::string_view topic, Matches& out, const IsPublisher& is_publisher) const {
  out.clear();
  std::size_t lists = 0;
  visit_matches(topic, [&](const Subscribers& subscribers) {
    if (subscribers.empty()) return;
    ++lists;
    for (const Subscriber& subscriber : subscribers) {
      if (subscriber.options.no_local && is_publisher && is_publisher(subscriber.id)) continue;
      out.list.push_back({subscriber.id, subscriber.options, subscriber.subscription_id});
    }
  });
  if (lists < 2 || out.list.empty()) return;
  // Bring the overlapping subscriptions of one subscriber together.
  std::ranges::stable_sort(out.list, {}, &Match::subscriber);
  std::size_t kept = 0;
  for (std::size_t i = 1; i < out.list.size(); ++i) {
    Match& into = out.list[kept];
    const Match& from = out.list[i];
    if (from.subscriber != into.subscriber) {
      out.list[++kept] = from;
      continue;
    }
    into.options.qos = std::max(into.options.qos, from.options.qos);
    into.options.retain_as_published = into.options.retain_as_published || from.options.retain_as_published;
    into.options.no_local = into.options.no_local && from.options.no_local;
    if (from.subscription_id == 0) continue;
    if (into.subscription_id == 0) {
      into.subscription_id = from.subscription_id;
      continue;
    }
    if (into.more_begin == into.more_end) {
      into.more_begin = into.more_end = static_cast<std::uint32_t>(out.more_ids.size());
    }
    out.more_ids.push_back(from.subscription_id);
    ++into.more_end;
  }
  out.list.resize(kept + 1);
}

}  // namespace parley::routing
