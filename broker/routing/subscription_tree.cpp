#include "broker/routing/subscription_tree.hpp"

#include <algorithm>
#include <utility>

namespace parley::routing {
namespace {

/// Cuts the next level off `text`, which begins with its slash.
std::string_view cut_level(std::string_view& text) {
  const auto level = text.substr(1, text.find('/', 1) - 1);
  text.remove_prefix(1 + level.size());
  return level;
}

}  // namespace

// -- The walk --

/// Visits the subscribers of every node below `node` that matches the topic from its `rest` on. `rest` is nothing at
/// the end of the topic. §4.7.1.
template <class Visit>
void SubscriptionTree::walk(const Node& node, mqtt::Levels rest, bool first_of_system_topic, Visit& visit) {
  const auto level = rest.next();
  if (!level && !node.subscribers.empty()) visit(node.subscribers);
  if (first_of_system_topic) {  // §4.7.2
    if (const auto exact = node.children.find(*level); exact != node.children.end()) enter(*exact->second, rest, visit);
    return;
  }
  // "a/#" matches "a" as well.
  if (const auto all = node.children.find(std::string_view("#")); all != node.children.end()) {
    visit(all->second->subscribers);
  }
  if (!level) return;
  if (const auto exact = node.children.find(*level); exact != node.children.end() && *level != "+" && *level != "#") {
    enter(*exact->second, rest, visit);
  }
  if (const auto one = node.children.find(std::string_view("+")); one != node.children.end()) {
    enter(*one->second, rest, visit);
  }
}

/// The same from a child on that was found by a level, if `rest` goes on as its tail does.
template <class Visit>
void SubscriptionTree::enter(const Node& node, mqtt::Levels rest, Visit& visit) {
  for (std::string_view tail = node.tail; !tail.empty();) {
    const auto wanted = cut_level(tail);
    if (wanted == "#") return visit(node.subscribers);
    const auto level = rest.next();
    if (!level || (wanted != "+" && wanted != *level)) return;
  }
  walk(node, rest, false, visit);
}

// -- Branches --

std::size_t SubscriptionTree::Node::shared_with(std::string_view text) const {
  std::size_t shared = 0;
  for (std::string_view own = tail; !own.empty() && !text.empty();) {
    const auto level = cut_level(own);
    if (cut_level(text) != level) break;
    shared += 1 + level.size();
  }
  return shared;
}

/// Leaves `node` the first `at` bytes of its tail; what it was stands below it.
void SubscriptionTree::split(Node& node, std::size_t at) {
  std::string_view after = std::string_view(node.tail).substr(at);
  std::string level(cut_level(after));
  auto lower = std::make_unique<Node>();
  lower->tail = after;
  lower->children = std::exchange(node.children, {});
  lower->subscribers = std::exchange(node.subscribers, {});
  node.tail.resize(at);
  node.children.emplace(std::move(level), std::move(lower));
}

/// Where nothing ends or branches off any more.
void SubscriptionTree::join_only_child(Node& node) {
  if (!node.subscribers.empty() || node.children.size() != 1) return;
  const auto only = node.children.extract(node.children.begin());
  Node& child = *only.mapped();
  node.tail.append("/").append(only.key()).append(child.tail);
  node.children = std::move(child.children);
  node.subscribers = std::move(child.subscribers);
}

// -- Subscriptions --

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
  const bool is_exact = !mqtt::has_wildcard(filter);
  if (!is_exact && mqtt::level_count(filter) > mqtt::kFilterLevelsMax) return false;
  if (is_exact) {
    auto found = exact_.find(filter);
    if (found == exact_.end()) found = exact_.emplace(std::string(filter), Subscribers()).first;
    added = insert(found->second, entry);
  } else {
    Node* node = &root_;
    for (std::string_view rest = filter;;) {
      const auto level = rest.substr(0, rest.find('/'));
      rest.remove_prefix(level.size());
      auto child = node->children.find(level);
      if (child == node->children.end()) {
        child = node->children.emplace(std::string(level), std::make_unique<Node>()).first;
        child->second->tail = rest;
        rest = {};
      } else {
        const auto shared = child->second->shared_with(rest);
        if (shared != child->second->tail.size()) split(*child->second, shared);
        rest.remove_prefix(shared);
      }
      node = child->second.get();
      if (rest.empty()) break;
      rest.remove_prefix(1);
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
  Node* parent = nullptr;
  Node* node = &root_;
  auto place = node->children.end();
  for (std::string_view rest = filter;;) {
    const auto level = rest.substr(0, rest.find('/'));
    rest.remove_prefix(level.size());
    parent = std::exchange(node, nullptr);
    place = parent->children.find(level);
    if (place == parent->children.end()) return false;
    node = place->second.get();
    if (node->shared_with(rest) != node->tail.size()) return false;
    rest.remove_prefix(node->tail.size());
    if (rest.empty()) break;
    rest.remove_prefix(1);
  }
  if (!erase(node->subscribers, subscriber)) return false;
  --size_;
  --wildcards_;
  if (!node->subscribers.empty()) return true;
  if (!node->children.empty()) {
    join_only_child(*node);
    return true;
  }
  parent->children.erase(place);
  if (parent != &root_) join_only_child(*parent);
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
