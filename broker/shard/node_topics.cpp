#include "broker/shard/node_topics.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/topic.hpp"

namespace parley::shard {
namespace {

constexpr Duration kLookAgain = std::chrono::milliseconds(500);
/// A removed retained message is remembered so long, so that a node that was away doesn't bring it back.
constexpr Duration kRemovedKept = std::chrono::hours(1);
/// Among the shards of one node: while events are on their way.
constexpr Duration kRemovedKeptAlone = std::chrono::seconds(10);
/// Room for the stamps of one millisecond.
constexpr std::uint64_t kStampsAMillisecond = 1000;

mqtt::MessagePtr make_message(const remote::Message& event, Instant now) {
  mqtt::Message::Parts parts{.topic = event.topic,
                             .properties = event.properties,
                             .payload = event.payload,
                             .qos = static_cast<mqtt::Qos>(event.qos),
                             .retain = event.retain,
                             .publisher = event.publisher};
  if (event.expires_in == remote::Message::kAtOnce) {
    parts.expires = now;
    parts.at_once = true;
  } else if (event.expires_in != 0) {
    const auto longest = std::chrono::milliseconds(0xFFFF'FFFFULL * 1000);
    parts.expires = now + std::min(longest, std::chrono::milliseconds(event.expires_in & 0xFFFF'FFFF'FFFFULL));
  }
  return mqtt::Message::make(parts);
}

std::uint64_t expires_in(const mqtt::Message& message, Instant now) {
  const auto expires = message.expires();
  if (!expires) return 0;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*expires - now).count();
  return left > 0 ? static_cast<std::uint64_t>(left) : remote::Message::kAtOnce;
}

}  // namespace

bool NodeTopics::active() const { return !shard_.nodes().alone(); }

NodeTopics::Peer& NodeTopics::peer(NodeId node) {
  const auto [found, added] = peers_.try_emplace(node);
  if (added) {
    found->second.place = static_cast<std::uint32_t>(places_.size());
    places_.push_back(node);
  }
  return found->second;
}

/// A connection that has just broken counts: what is published meanwhile is sent over the next one.
bool NodeTopics::is_there(NodeId node, const Peer& peer) const {
  return shard_.nodes().connected(node) ||
         (peer.gone_since != Instant::max() && peer.gone_since + kWait > shard_.now());
}

// -- Messages --

RetainStamp NodeTopics::make_stamp() {
  last_stamp_ = std::max(last_stamp_ + 1, shard_.wall().milliseconds * kStampsAMillisecond);
  // No other shard of this node gives the same one.
  const std::uint64_t shards = shard_.options().shards;
  last_stamp_ += (shards + shard_.id() - last_stamp_ % shards) % shards;
  return {.time = last_stamp_, .node = shard_.nodes().self()};
}

bool NodeTopics::was_removed_since(std::string_view topic, const RetainStamp& stamp) const {
  if (removed_.empty()) return false;
  const auto found = removed_.find(topic);
  return found != removed_.end() && stamp < found->second.stamp;
}

std::uint64_t NodeTopics::note_removal(std::string_view topic, const RetainStamp& stamp, std::uint64_t row) {
  if (!active() && shard_.options().shards == 1 && row == 0) return forget_removal(topic);
  const auto found = removed_.find(topic);
  if (found == removed_.end() && removed_.size() >= shard_.options().retained_max) return row;
  Removed& removed = found != removed_.end() ? found->second : removed_[std::string(topic)];
  const std::uint64_t before = removed.row;
  removed = {.stamp = stamp, .row = row, .at = shard_.now()};
  return before;
}

std::uint64_t NodeTopics::forget_removal(std::string_view topic) {
  if (removed_.empty()) return 0;
  const auto found = removed_.find(topic);
  if (found == removed_.end()) return 0;
  const std::uint64_t row = found->second.row;
  removed_.erase(found);
  return row;
}

mqtt::MessagePtr removal_of(std::string_view topic) {
  return mqtt::Message::make({.topic = topic, .properties = {}, .payload = {}, .retain = true});
}

/// Without the publisher, which not every node may be told.
std::string NodeTopics::encode(const mqtt::Message& message, const RetainStamp& stamp, std::uint64_t number,
                               const routing::SharedGroups::Name& share) const {
  remote::Message event;
  event.shard = shard_.id();
  event.stream = stream_;
  event.number = number;
  event.subscribers = share == nullptr;
  if (share) {
    const auto parts = mqtt::shared_filter(*share);
    event.group = parts->group;
    event.filter = parts->filter;
  }
  event.topic = message.topic();
  event.properties = message.properties();
  event.payload = message.payload();
  event.qos = static_cast<std::uint64_t>(message.qos());
  event.retain = message.retain();
  event.expires_in = expires_in(message, shard_.now());
  event.stamp = {stamp.time};
  event.stamp_node = stamp.node;
  // Always the same shard there for what is published here, so that its order stays.
  return remote::encode_for(Slot{shard_.id()}, event);
}

/// The node could never be sent it, so it is gone, and what is behind it goes on.
bool NodeTopics::drop_if_too_large(NodeId node, std::size_t size) {
  constexpr std::size_t kPublisher = 10;
  if (size <= NodeLinks::kAlwaysTaken || shard_.nodes().takes(node, size + kPublisher)) return false;
  shard_.counters().add(Metric::PublishesDropped);
  // That this happens was said when the node connected.
  log::debug("a message is larger than another node takes, dropping it there", {{"node", node}, {"size", size}});
  return true;
}

/// `bytes` as encode() gives them. It is the connection of this moment that counts: what waited for it may go out on
/// one that speaks another version.
bool NodeTopics::try_send(NodeId node, std::string bytes, std::uint64_t publisher) {
  if (drop_if_too_large(node, bytes.size())) return true;
  if (shard_.nodes().peer(node).version >= kPublisherVersion) remote::append_publisher(bytes, publisher);
  return shard_.nodes().try_send(node, NodeChannel::Messages, std::move(bytes));
}

NodeTopics::Sent NodeTopics::publish(const mqtt::MessagePtr& message, const RetainStamp& stamp) {
  Sent sent;
  nodes_.match(message->topic(), matches_);
  sent.matched = !matches_.list.empty();
  for (auto& [node, to] : peers_) {
    const bool wanted = message->retain() ||
                        std::ranges::find(matches_.list, to.place, &routing::Match::subscriber) != matches_.list.end();
    if (!wanted || !is_there(node, to)) continue;
    if (message->qos() == mqtt::Qos::AtMostOnce && !message->retain()) {
      if (to.sent == to.pending.size()) try_send(node, encode(*message, stamp, 0, nullptr), message->publisher());
      continue;
    }
    std::string bytes = encode(*message, stamp, next_number_, nullptr);
    if (drop_if_too_large(node, bytes.size())) continue;
    if (sent.wait == 0) {
      sent.wait = next_token_++;
      waits_[sent.wait];
    }
    ++waits_[sent.wait].open;
    const std::uint64_t number = next_number_++;
    add_pending(node, to,
                {.number = number,
                 .bytes = std::move(bytes),
                 .publisher = message->publisher(),
                 .since = shard_.now(),
                 .wait = sent.wait,
                 .share = nullptr,
                 .message = nullptr});
  }
  return sent;
}

std::uint64_t NodeTopics::send_shared(std::uint32_t place, const routing::SharedGroups::Name& share,
                                      const mqtt::MessagePtr& message) {
  const NodeId node = places_.at(place);
  const std::uint64_t number = message->qos() == mqtt::Qos::AtMostOnce ? 0 : next_number_++;
  std::string bytes = encode(*message, {}, number, share);
  if (number == 0) {
    try_send(node, std::move(bytes), message->publisher());
    return 0;
  }
  if (drop_if_too_large(node, bytes.size())) return 0;
  const std::uint64_t wait = next_token_++;
  waits_[wait].open = 1;
  add_pending(node, peer(node),
              {.number = number,
               .bytes = std::move(bytes),
               .publisher = message->publisher(),
               .since = shard_.now(),
               .wait = wait,
               .share = share,
               .message = message});
  return wait;
}

void NodeTopics::add_pending(NodeId node, Peer& to, Pending pending) {
  to.bytes += pending.bytes.size();
  to.pending.push_back(std::move(pending));
  while (to.bytes > kPendingBytesMax && to.pending.size() > 1) {
    log::warn("a node takes messages too slowly, dropping one", {{"node", node}});
    drop_front(to);
  }
  pump(node, to);
  set_timer();
}

void NodeTopics::pump(NodeId node, Peer& to) {
  while (to.sent < to.pending.size()) {
    const Pending& next = to.pending[to.sent];
    if (to.sent == 0 && drop_if_too_large(node, next.bytes.size())) {
      drop_front(to);  // The node has come back, and takes less than before.
      continue;
    }
    if (!try_send(node, next.bytes, next.publisher)) return;
    ++to.sent;
  }
  while (!to.retained.empty()) {
    const auto& [message, stamp] = to.retained.front();
    // For nobody: it is to be kept.
    remote::Message event;
    event.topic = message->topic();
    event.properties = message->properties();
    event.payload = message->payload();
    event.qos = static_cast<std::uint64_t>(message->qos());
    event.retain = true;
    event.stamp = {stamp.time};
    event.stamp_node = stamp.node;
    event.expires_in = expires_in(*message, shard_.now());
    if (!try_send(node, remote::encode_for(Slot{0}, event), message->publisher())) return;
    to.retained.pop_front();
  }
}

/// It is taken, given up, or (not `stored`) refused.
void NodeTopics::drop_front(Peer& from, bool stored) {
  const Pending dropped = std::move(from.pending.front());
  from.pending.pop_front();
  if (from.sent > 0) --from.sent;
  from.bytes -= dropped.bytes.size();
  if (dropped.wait != 0) release(dropped.wait, stored);
}

void NodeTopics::when_taken(std::uint64_t wait, std::function<void(bool)> done) {
  const auto found = waits_.find(wait);
  if (found == waits_.end()) {
    done(true);
  } else {
    found->second.done = std::move(done);
  }
}

void NodeTopics::release(std::uint64_t wait, bool stored) {
  const auto found = waits_.find(wait);
  if (found == waits_.end()) return;
  found->second.failed = found->second.failed || !stored;
  if (--found->second.open > 0) return;
  const auto [open, failed, done] = std::move(found->second);
  waits_.erase(found);
  if (done) done(!failed);
}

void NodeTopics::message_taken(NodeId from, const remote::MessageTaken& event) {
  const auto found = peers_.find(from);
  if (found == peers_.end() || event.stream != stream_) return;
  // In order, so everything before it is taken, too, or was given up.
  while (!found->second.pending.empty() && found->second.pending.front().number <= event.number) {
    drop_front(found->second, !event.refused || found->second.pending.front().number < event.number);
  }
}

void NodeTopics::message(NodeId from, const remote::Message& event) {
  if (!mqtt::is_topic_name(event.topic)) return;
  if (event.number == 0) {
    take(event, 0);
    return;
  }
  const std::pair key{from, event.shard};
  Inbound& sender = inbound_[key];
  if (sender.stream != event.stream) {
    sender = {};
    sender.stream = event.stream;
  }
  if (event.number <= sender.last) {
    // What is still being stored is answered then.
    const bool answered = sender.open.empty() || event.number < sender.open.front().number;
    if (answered) answer(key, event.number, true);
    return;
  }
  sender.last = event.number;
  const std::uint64_t token = next_token_++;
  sender.open.push_back({.number = event.number, .token = token});
  storing_.emplace(token, key);
  if (!take(event, token)) stored(token, true);
}

/// True when NodeTopics::stored is called with the token.
bool NodeTopics::take(const remote::Message& event, std::uint64_t token) {
  const auto message = make_message(event, shard_.now());
  if (event.group.empty()) {
    const RetainStamp stamp{event.stamp.milliseconds, event.stamp_node};
    return shard_.plain_topics().publish_from_node(message, stamp, event.subscribers, token);
  }
  auto share =
      std::make_shared<const std::string>("$share/" + std::string(event.group) + "/" + std::string(event.filter));
  return mqtt::is_topic_filter(*share) && shard_.plain_topics().share_here(share, message, token);
}

void NodeTopics::stored(std::uint64_t token, bool stored) {
  const auto storing = storing_.find(token);
  if (storing == storing_.end()) return;
  const auto key = storing->second;
  storing_.erase(storing);
  Inbound& sender = inbound_[key];
  const auto one = std::ranges::find(sender.open, token, &Inbound::Open::token);
  if (one == sender.open.end()) return;
  one->done = true;
  one->refused = !stored;
  // In order: one answer for all that are done, but for those that can't be stored.
  std::uint64_t upto = 0;
  while (!sender.open.empty() && sender.open.front().done) {
    const Inbound::Open done = sender.open.front();
    sender.open.pop_front();
    if (done.refused) {
      if (upto != 0) answer(key, upto, true);
      answer(key, done.number, false);
      upto = 0;
    } else {
      upto = done.number;
    }
  }
  if (upto != 0) answer(key, upto, true);
}

void NodeTopics::answer(const std::pair<NodeId, std::uint64_t>& sender, std::uint64_t number, bool stored) {
  const remote::MessageTaken event{.stream = inbound_[sender].stream, .number = number, .refused = !stored};
  shard_.nodes().send(sender.first, NodeChannel::Messages,
                      remote::encode_for_shard(static_cast<ShardId>(sender.second), event));
}

// -- What this node wants --

void NodeTopics::want(std::string_view filter) {
  if (!active()) return;
  const auto [found, added] = wanted_.try_emplace(std::string(filter), 0U);
  if (++found->second > 1) return;
  announcing_[found->first];
  shard_.send(0, PeerEvent{NodeInterestEvent{shard_.id(), found->first, true}});
}

void NodeTopics::want_no_more(std::string_view filter) {
  const auto found = wanted_.find(filter);
  if (found == wanted_.end() || --found->second > 0) return;
  wanted_.erase(found);
  shard_.send(0, PeerEvent{NodeInterestEvent{shard_.id(), std::string(filter), false}});
  interest_taken(filter);
}

void NodeTopics::after_announcement(std::string_view filter, std::function<void()> then) {
  const auto found = announcing_.find(filter);
  if (found == announcing_.end()) {
    then();
  } else {
    found->second.push_back(std::move(then));
  }
}

void NodeTopics::interest_taken(std::string_view filter) {
  const auto found = announcing_.find(filter);
  if (found == announcing_.end()) return;
  const auto waiting = std::move(found->second);
  announcing_.erase(found);
  for (const auto& then : waiting) then();
}

/// Shard 0: a shard's first subscriber of a filter, or its last one has gone.
void NodeTopics::interest(const NodeInterestEvent& event) {
  if (!event.wanted) {
    const auto found = node_wanted_.find(event.filter);
    if (found == node_wanted_.end() || --found->second > 0) return;
    node_wanted_.erase(found);
    announce(event.filter, false);
    if (const auto round = rounds_.find(event.filter); round != rounds_.end()) finish(round);
    return;
  }
  if (++node_wanted_[event.filter] == 1) announce(event.filter, true);
  if (const auto round = rounds_.find(event.filter); round != rounds_.end()) {
    round->second.shards.push_back(event.shard);
  } else {
    shard_.send(event.shard, PeerEvent{NodeInterestTakenEvent{event.filter}});
  }
}

void NodeTopics::announce(const std::string& filter, bool wanted) {
  remote::Filters event;
  event.token = next_token_++;
  (wanted ? event.added : event.removed).emplace_back(filter);
  const std::string bytes = remote::encode_for(Slot{0}, event);
  Round round{.token = event.token, .since = shard_.now(), .nodes = {}, .shards = {}};
  shard_.nodes().for_each_connected([&](NodeId node) {
    shard_.nodes().send(node, NodeChannel::Messages, bytes);
    round.nodes.insert(node);
  });
  if (!wanted || round.nodes.empty()) return;
  rounds_.insert_or_assign(filter, std::move(round));
  set_timer();
}

void NodeTopics::finish(std::map<std::string, Round, std::less<>>::iterator round) {
  const std::string filter = round->first;
  const auto shards = std::move(round->second.shards);
  rounds_.erase(round);
  for (const ShardId shard : shards) shard_.send(shard, PeerEvent{NodeInterestTakenEvent{filter}});
}

void NodeTopics::filters_taken(NodeId from, const remote::FiltersTaken& event) {
  const auto found = std::ranges::find_if(rounds_, [&](const auto& one) { return one.second.token == event.token; });
  if (found == rounds_.end()) return;
  found->second.nodes.erase(from);
  if (found->second.nodes.empty()) finish(found);
}

// -- What other nodes want --

void NodeTopics::filters(NodeId from, const remote::Filters& event) {
  auto lists = std::make_shared<NodeFilters>();
  lists->replaces = event.replaces;
  std::size_t size = 0;
  for (const std::string_view filter : event.added) {
    size += filter.size();
    if (mqtt::is_topic_filter(filter)) lists->added.emplace_back(filter);
  }
  lists->has_more = size >= remote::kFiltersPiece;
  for (const std::string_view filter : event.removed) lists->removed.emplace_back(filter);
  const ShardId shards = shard_.options().shards;
  relayed_[{from, event.token}] = shards;
  for (ShardId shard = 0; shard < shards; ++shard) {
    shard_.send(shard, PeerEvent{NodeFiltersEvent{from, event.token, lists}});
  }
}

void NodeTopics::filters(const NodeFiltersEvent& event) {
  Peer& from = peer(event.node);
  const auto remove = [&](const std::string& filter) {
    if (from.filters.erase(filter) != 0) nodes_.remove(filter, from.place);
  };
  // What was wanted before counts until all pieces are here.
  if (event.lists->replaces) from.unconfirmed = from.filters;
  for (const std::string& filter : event.lists->removed) remove(filter);
  for (const std::string& filter : event.lists->added) {
    from.unconfirmed.erase(filter);
    if (from.filters.insert(filter).second) nodes_.add(filter, from.place, {}, 0);
  }
  if (!event.lists->has_more) {
    for (const std::string& filter : std::exchange(from.unconfirmed, {})) remove(filter);
  }
  shard_.send(0, PeerEvent{NodeFiltersTakenEvent{event.node, event.token}});
}

void NodeTopics::filters_taken(const NodeFiltersTakenEvent& event) {
  const auto found = relayed_.find({event.node, event.token});
  if (found == relayed_.end() || --found->second > 0) return;
  relayed_.erase(found);
  shard_.nodes().send(event.node, NodeChannel::Messages,
                      remote::encode_for_shard(0, remote::FiltersTaken{event.token}));
}

// -- Shared groups --

void NodeTopics::group_changed(std::string_view group, std::string_view filter) {
  if (!active()) return;
  const auto here = shard_.plain_topics().members_here(group, filter);
  // 1: there are members, but none that is connected.
  const remote::Group event{group, filter, here.members == 0 ? 0 : 1 + here.ready};
  const std::string bytes = remote::encode_for(Slot{0}, event);
  shard_.nodes().for_each_connected([&](NodeId node) { shard_.nodes().send(node, NodeChannel::Messages, bytes); });
}

void NodeTopics::group(NodeId from, const remote::Group& event) {
  const std::string share = "$share/" + std::string(event.group) + "/" + std::string(event.filter);
  if (!mqtt::is_topic_filter(share)) return;
  shard_.plain_topics().pass_on(
      {.node = from, .group = std::string(event.group), .filter = std::string(event.filter), .members = event.members});
}

void NodeTopics::tell_groups(NodeId node) {
  for (const auto& name : shard_.plain_topics().groups()) {
    const auto parts = mqtt::shared_filter(*name);
    const auto here = shard_.plain_topics().members_here(parts->group, parts->filter);
    if (here.members == 0) continue;
    shard_.nodes().send(node, NodeChannel::Messages,
                        remote::encode_for(Slot{0}, remote::Group{parts->group, parts->filter, 1 + here.ready}));
  }
}

// -- Nodes --

/// The first other node: from now on it is counted who wants what.
void NodeTopics::begin() {
  if (std::exchange(begun_, true)) return;
  stream_ = shard_.random().next();
  shard_.clients().for_each([this](Client& client) {
    for (const auto& subscription : client.session->subscriptions()) {
      const bool plain = !mqtt::shared_filter(subscription.filter) && shard_.is_plain(subscription.filter);
      if (plain) want(subscription.filter);
    }
  });
}

void NodeTopics::node_connected(NodeId node) {
  begin();
  Peer& to = peer(node);
  to.gone_since = Instant::max();
  to.sent = 0;
  if (shard_.id() == 0) {
    for (auto round = rounds_.begin(); round != rounds_.end();) {
      const auto next = std::next(round);
      round->second.nodes.erase(node);
      if (round->second.nodes.empty()) finish(round);
      round = next;
    }
    std::erase_if(relayed_, [&](const auto& one) { return one.first.first == node; });
    tell_filters(node);
    tell_retained(node);
  }
  // It tells its groups anew.
  shard_.plain_topics().groups_gone(to.place);
  tell_groups(node);
  pump(node, to);
}

/// All of them, in pieces: one that is full has another one behind it.
void NodeTopics::tell_filters(NodeId node) {
  remote::Filters piece;
  piece.replaces = true;
  std::size_t size = 0;
  const auto send = [&] {
    piece.token = next_token_++;
    shard_.nodes().send(node, NodeChannel::Messages, remote::encode_for(Slot{0}, piece));
    piece = {};
    size = 0;
  };
  for (const auto& [filter, shards] : node_wanted_) {
    piece.added.emplace_back(filter);
    size += filter.size();
    if (size >= remote::kFiltersPiece) send();
  }
  send();
}

void NodeTopics::tell_retained(NodeId node) {
  Peer& to = peer(node);
  to.retained.clear();
  shard_.plain_topics().for_each_retained(
      [&](const mqtt::MessagePtr& message, const RetainStamp& stamp) { to.retained.emplace_back(message, stamp); });
  for (const auto& [topic, removed] : removed_) {
    to.retained.emplace_back(removal_of(topic), removed.stamp);
  }
}

void NodeTopics::node_unreachable(NodeId node) {
  const auto found = peers_.find(node);
  if (found == peers_.end()) return;
  found->second.gone_since = std::min(found->second.gone_since, shard_.now());
  shard_.plain_topics().groups_gone(found->second.place);
  set_timer();
}

void NodeTopics::node_writable(NodeId node) {
  const auto found = peers_.find(node);
  if (found == peers_.end()) return;
  found->second.gone_since = Instant::max();
  pump(node, found->second);
}

void NodeTopics::set_timer() {
  if (std::exchange(timer_, true)) return;
  shard_.timers().add({.due = shard_.now() + kLookAgain, .kind = TimerKind::NodeTopics});
}

/// Nobody waits for longer than kWait.
void NodeTopics::run_timer() {
  timer_ = false;
  const Instant before = shard_.now() - kWait;
  for (auto& [node, to] : peers_) {
    while (!to.pending.empty() && to.pending.front().since <= before) {
      const auto share = to.pending.front().share;
      const auto message = to.pending.front().message;
      const bool unsent = to.sent == 0;
      // What was sent may have been delivered, so nobody else gets it.
      if (share && unsent) shard_.plain_topics().give_back(share, message);
      drop_front(to);
    }
  }
  for (auto round = rounds_.begin(); round != rounds_.end();) {
    const auto next = std::next(round);
    if (round->second.since <= before) finish(round);
    round = next;
  }
  const auto waits = [](const auto& one) { return !one.second.pending.empty(); };
  if (!rounds_.empty() || std::ranges::any_of(peers_, waits)) set_timer();
}

void NodeTopics::sweep() {
  const Instant before = shard_.now() - (active() ? kRemovedKept : kRemovedKeptAlone);
  std::erase_if(removed_, [&](const auto& one) {
    if (one.second.at >= before) return false;
    if (one.second.row != 0) shard_.journal().erase_retained(one.second.row);
    return true;
  });
}

}  // namespace parley::shard
