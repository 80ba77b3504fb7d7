#include "broker/cluster/cluster_node.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/aio/task_group.hpp"
#include "base/log.hpp"
#include "broker/cluster/cluster_state.hpp"
#include "broker/cluster/formation.hpp"
#include "broker/cluster/line_limiter.hpp"
#include "broker/cluster/link_news.hpp"
#include "broker/cluster/peer_notice.hpp"
#include "broker/cluster/random.hpp"
#include "broker/replication/node_health.hpp"

namespace parley::cluster {
namespace {

constexpr Channel kNotices = static_cast<Channel>(shard::NodeChannel::Heartbeats);

Instant steady_now() { return std::chrono::steady_clock::now(); }
/// Unix time.
std::uint64_t milliseconds_now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

LocalNode local_node(const ClusterNodeOptions& options, const NodeFile& file, std::uint64_t incarnation) {
  LocalNode node{.name = file.node,
                 .id = node_id(file.node),
                 .incarnation = incarnation,
                 .birth = file.birth,
                 .cluster = file.cluster + " " + hex_text(file.cluster_id),
                 .secret = options.secret,
                 .slots = file.slots,
                 .versions = {.min = kPeerVersions.min, .max = options.protocol_max}};
  node.frame_max = std::max(node.frame_max, static_cast<std::uint32_t>(options.message_max));
  node.window = std::max(node.window, node.frame_max + 1024);
  return node;
}

PeerLinkOptions link_options(const ClusterNodeOptions& options, Handshake::Admission admission) {
  PeerLinkOptions links = options.links;
  links.heartbeat_timeout = options.node_timeout;
  links.channel_buffer_max = std::max(links.channel_buffer_max, 2 * options.message_max);
  links.peer_buffer_max = std::max(links.peer_buffer_max, 4 * options.message_max);
  links.admission = std::move(admission);
  return links;
}

}  // namespace

/// Belongs to the cluster's thread, but for what says otherwise.
class ClusterNode::Core final : private PeerLinkEvents, private ClusterStateEvents, private shard::PeerNodes {
 public:
  Core(ClusterNodeOptions options, NodeFile file, const shard::ShardOptions& shard_options, ShardMail& mail)
      : options_(std::move(options)),
        shard_options_(shard_options),
        mail_(mail),
        incarnation_(std::max<std::uint64_t>(random_number(), 1)),
        self_(node_id(file.node)),
        health_(file.starts, {.timeout = options_.node_timeout}),
        formation_({.cluster_id = file.cluster_id, .slots = file.slots}),
        asked_(shard_options.shards, false),
        reports_(shard_options.shards),
        departure_(shard_options.shards, options_.hand_over_timeout),
        members_(std::move(file), steady_now()),
        links_(local_node(options_, members_.file(), incarnation_),
               link_options(options_, [this](const RemoteNode& peer) { return refusal(peer); }), *this) {
    remember_members();
    departure_.leaving(members_.leaving(), steady_now());
  }
  ~Core() override { stop(); }

  // -- The owner's thread --
  Result<void> start() {
    PARLEY_TRY(links_.start());
    ClusterStateOptions state{.cluster = members_.file().cluster,
                              .self = own_lease(),
                              .formation = encode(formation_),
                              .lease_time = options_.lease_time,
                              .poll_interval = options_.lease_time / 6};
    state_.emplace(loop_.get_executor(), std::move(state), options_.redis, static_cast<ClusterStateEvents&>(*this));
    state_->start();
    links_.set_peers(members_.addresses());
    busy_.emplace(loop_.get_executor());
    tasks_.spawn(beat());
    tasks_.spawn(look_after_slots());
    thread_ = std::thread([this] { loop_.run(); });
    return {};
  }
  void stop() {
    if (!thread_.joinable()) return;
    links_.stop();
    asio::post(loop_, [this] { stopping_tasks_.spawn(shut_down()); });
    thread_.join();
  }
  [[nodiscard]] std::uint16_t port() const { return links_.port(); }

  // -- Any thread --
  shard::PeerNodes& peer_nodes() { return *this; }
  std::shared_ptr<const Placement> placement() const {
    const std::lock_guard lock(mutex_);
    return placement_;
  }
  std::shared_ptr<const ClientPolicy> client_policy() const {
    const std::lock_guard lock(mutex_);
    return client_policy_;
  }
  void leave() {
    asio::post(loop_, [this] {
      members_.stop();
      stopping_ = true;
      leaving_changed();
    });
  }
  bool left() {
    return ask<bool>([this] { return departure_.over(members_); });
  }
  void report(shard::ShardId shard, PlacementPass pass) {
    asio::post(loop_, [this, shard, pass = std::move(pass)]() mutable { take_report(shard, std::move(pass)); });
  }
  ClusterView view() {
    return ask<ClusterView>([this] { return make_view(); });
  }
  bool set_draining(const std::string& name, bool draining) {
    return ask<bool>([this, &name, draining] {
      const NodeId node = node_id(name);
      if (node == self_) {
        drain(draining);
        return true;
      }
      return links_.send(node, kNotices, encode_notice(DrainNotice{draining})) == SendResult::Queued;
    });
  }
  std::optional<std::string> move_slot(Slot slot, const std::string& name) {
    return ask<std::optional<std::string>>([this, slot, &name] { return order_move(slot, name); });
  }
  std::optional<std::string> release_slot(Slot slot) {
    return ask<std::optional<std::string>>([this, slot] { return order_release(slot); });
  }
  bool remove(const std::string& name) {
    return ask<bool>([this, &name] { return remove_member(node_id(name)); });
  }

 private:
  // -- PeerNodes: the shards' threads --
  [[nodiscard]] NodeId self() const override { return self_; }
  [[nodiscard]] shard::PeerState peer(NodeId node) const override {
    if (node == self_) return {.version = options_.protocol_max, .incarnation = incarnation_};
    const std::lock_guard lock(mutex_);
    const auto found = peers_.find(node);
    return found == peers_.end() ? shard::PeerState{.version = 0, .incarnation = 0} : found->second;
  }
  bool send(NodeId node, shard::NodeChannel channel, std::string message) override {
    const std::size_t size = message.size();
    const auto sent = links_.send(node, static_cast<Channel>(channel), std::move(message));
    if (sent != SendResult::TooLarge) return sent == SendResult::Queued;
    // Shards look first. Whatever comes here all the same must not keep back what is behind it.
    log::error("a message is larger than the other node takes, dropping it",
               {{"node", node}, {"channel", std::uint64_t(channel)}, {"size", size}});
    return true;
  }
  void drop(NodeId node) override {
    links_.post([this, node] { news_.give_up(node, "it takes too little of what it is sent"); });
  }
  void leading(Slot slot, std::optional<Term> term) override {
    asio::post(loop_, [this, slot, term] {
      if (term)
        health_.set_leading(slot, *term);
      else
        health_.clear_leading(slot);
    });
  }

  // -- PeerLinkEvents: the links' thread --
  void connected(const LinkUp& up) override {
    {
      const std::lock_guard lock(mutex_);
      peers_[up.peer.id] = {
          .version = up.peer.version, .incarnation = up.peer.incarnation, .message_max = up.peer.frame_max};
    }
    if (up.peer.frame_max < options_.message_max) {
      log::warn("a node takes smaller messages than this one, refusing or dropping what is larger",
                {{"node", up.peer.name},
                 {"takes", up.peer.frame_max},
                 {"this_node_takes", options_.message_max},
                 {"settings", "mqtt.max_packet_size, mqtt.max_connect_packet_size, chat.max_message_size"}});
    }
    news_.connected(up.peer.id, up.connection);
    asio::post(loop_, [this, up] { take_connected(up); });
  }
  void disconnected(NodeId peer, std::string_view /*why*/) override {
    news_.disconnected(peer);
    asio::post(loop_, [this, peer] { take_disconnected(peer); });
  }
  void received(Delivery delivery) override {
    if (!news_.goes_on(delivery.peer)) return;
    if (delivery.channel == kNotices) {
      auto kept = std::make_shared<Delivery>(std::move(delivery));
      asio::post(loop_, [this, kept] {
        for (std::size_t i = 0; i < kept->size(); ++i) take_notice(kept->peer, kept->message(i));
      });
      return;
    }
    news_.messages(std::move(delivery));
  }
  void writable(NodeId peer, Channel channel) override {
    if (channel != kNotices && news_.goes_on(peer)) news_.writable(peer, channel);
  }

  std::optional<HandshakeRefusal> refusal(const RemoteNode& peer) const {
    const std::lock_guard lock(mutex_);
    return known_->refusal(peer);
  }

  // -- The cluster's thread --
  void take_connected(const LinkUp& up) {
    const RemoteNode& peer = up.peer;
    connected_[peer.id] = up.connection;
    members_.connected(peer, steady_now());
    health_.add(peer.id);
    tell_self(peer.id);
    for (const std::uint64_t birth : members_.file().removed) notify(peer.id, RemovalNotice{birth});
    members_changed();
  }
  /// Faster than waiting for heartbeats that don't come: the kernel says at once that a process has died.
  void take_disconnected(NodeId peer) {
    connected_.erase(peer);
    replication::HealthActions actions;
    health_.remove(peer, actions);
    carry_out(actions);
  }
  void take_notice(NodeId from, std::string_view bytes) {
    auto notice = read_notice(bytes);
    if (!notice || !connected_.contains(from)) return;
    if (const auto* heartbeat = std::get_if<replication::Heartbeat>(&*notice)) {
      replication::HealthActions actions;
      health_.receive(from, *heartbeat, steady_now(), actions);
      carry_out(actions);
    } else if (const auto* node = std::get_if<NodeNotice>(&*notice)) {
      members_.told(from, node->address, node->draining);
      members_changed();
    } else if (const auto* clients = std::get_if<ClientsNotice>(&*notice)) {
      members_.told(from, *clients);
      members_changed();
      place_soon_ = true;
    } else if (const auto* order = std::get_if<DrainNotice>(&*notice)) {
      drain(order->draining);
    } else if (const auto* pins = std::get_if<PinsNotice>(&*notice)) {
      const std::size_t before = members_.file().pins.size();
      members_.told(from, *pins);
      if (members_.file().pins.size() != before) tell_pins();
      members_changed();
      place_soon_ = true;
    } else if (const auto* move = std::get_if<MoveNotice>(&*notice)) {
      take_move(*move);
    } else {
      take_removal(std::get<RemovalNotice>(*notice));
    }
  }
  void take_removal(const RemovalNotice& notice) {
    if (notice.birth == members_.file().birth) {
      log::error("this node was removed from its cluster; with an empty data directory it may join again");
      return;
    }
    const auto before = members_.peers();
    members_.removed(notice.birth);
    for (const auto& [id, member] : before) {
      if (!members_.peers().contains(id)) forget(id, member.known.name);
    }
    members_changed();
  }
  void drain(bool draining) {
    members_.set_draining(draining);
    state_->set_draining(draining);
    leaving_changed();
    log::info(draining ? "this node gives its slots away" : "this node takes slots again");
    members_changed();
  }
  // -- Moves --
  std::optional<std::string> why_no_slot(Slot slot) const {
    if (slot.value < shard_options_.slots) return std::nullopt;
    return "there is no slot " + std::to_string(slot.value) + ": the cluster has " +
           std::to_string(shard_options_.slots);
  }
  std::optional<std::string> order_move(Slot slot, const std::string& name) {
    if (auto why = why_no_slot(slot)) return why;
    const NodeId node = node_id(name);
    const auto peer = members_.peers().find(node);
    if (node != self_ && peer == members_.peers().end()) return "there is no node \"" + name + "\"";
    if (node != self_ && !peer->second.reachable) return "node \"" + name + "\" isn't there";
    const bool leaving = node == self_ ? members_.leaving() : peer->second.draining || peer->second.leaving;
    if (leaving) return "node \"" + name + "\" gives its slots away";
    const MoveNotice move{.slot = slot, .stamp = members_.next_stamp(slot, milliseconds_now()), .pinned = true};
    if (node == self_) {
      take_move(move);
    } else if (links_.send(node, kNotices, encode_notice(move)) != SendResult::Queued) {
      return "node \"" + name + "\" can't be told";
    }
    return std::nullopt;
  }
  std::optional<std::string> order_release(Slot slot) {
    if (auto why = why_no_slot(slot)) return why;
    const MoveNotice release{.slot = slot, .stamp = 0, .pinned = false};
    bool told = members_.file().pins.contains(slot);
    if (told) take_move(release);
    for (const auto& [id, member] : members_.peers()) {
      if (!member.pins.contains(slot)) continue;
      if (!member.reachable || links_.send(id, kNotices, encode_notice(release)) != SendResult::Queued) {
        return "node \"" + member.known.name + "\", where it was moved to, isn't there";
      }
      told = true;
    }
    if (told) return std::nullopt;
    return "slot " + std::to_string(slot.value) + " was moved nowhere";
  }
  void take_move(const MoveNotice& move) {
    if (move.slot.value >= shard_options_.slots) return;
    members_.set_pin(move.slot, move.pinned ? std::optional(move.stamp) : std::nullopt);
    log::info(move.pinned ? "a slot was moved to this node" : "a slot goes where placement has it again",
              {{"slot", move.slot}});
    tell_pins();
    members_changed();
    place_soon_ = true;
  }
  void tell_pins() {
    for (const auto& [peer, connection] : connected_) tell_pins(peer);
  }
  void tell_pins(NodeId to) { notify(to, PinsNotice{members_.file().pins}); }

  void leaving_changed() {
    departure_.leaving(members_.leaving(), steady_now());
    for (const auto& [peer, connection] : connected_) tell_self(peer);
    place_soon_ = true;
  }
  void make_client_policy(Instant now) {
    auto policy = std::make_shared<const ClientPolicy>(departure_.policy(members_, now));
    if (policy->dismisses && !client_policy()->dismisses)
      log::info("slots are handed over, sending clients to other nodes");
    const std::lock_guard lock(mutex_);
    client_policy_ = std::move(policy);
  }
  bool remove_member(NodeId node) {
    const auto found = members_.peers().find(node);
    if (found == members_.peers().end()) return false;
    const KnownNode known = found->second.known;
    for (const auto& [peer, connection] : connected_) notify(peer, RemovalNotice{known.birth});
    members_.remove(node);
    forget(node, known.name);
    tasks_.spawn(forget_in_redis(node));
    members_changed();
    return true;
  }
  void forget(NodeId node, const std::string& name) {
    log::warn("a node is removed from the cluster", {{"node", name}});
    leave_alone(node, "the node was removed from the cluster");
    {
      const std::lock_guard lock(mutex_);
      peers_.erase(node);
    }
    replication::HealthActions actions;
    health_.remove(node, actions);
    carry_out(actions);
  }
  asio::awaitable<void> forget_in_redis(NodeId node) {
    auto removing = state_->remove_node(node);
    [[maybe_unused]] const auto removed = co_await std::move(removing);
  }

  void carry_out(replication::HealthActions& actions) {
    for (auto& action : actions) {
      if (auto* send = std::get_if<replication::SendHeartbeat>(&action)) {
        notify(send->to, std::move(send->heartbeat));
      } else if (const auto* up = std::get_if<replication::NodeReachable>(&action)) {
        take_reachable(up->node, true);
      } else if (const auto* down = std::get_if<replication::NodeUnreachable>(&action)) {
        take_reachable(down->node, false);
      } else {
        take_leads(std::get<replication::NodeLeads>(action));
      }
    }
    actions.clear();
  }
  /// No more is heard or said of its connection, if it has one.
  void leave_alone(NodeId node, const std::string& why) {
    const auto connection = connected_.extract(node);
    if (connection.empty()) return;
    links_.post([this, node, number = connection.mapped(), why] { news_.give_up(node, number, why); });
  }
  void take_reachable(NodeId node, bool is) {
    const auto connection = connected_.find(node);
    if (is && connection == connected_.end()) return;
    members_.reachable(node, is, steady_now());
    const auto member = members_.peers().find(node);
    const std::string name = member == members_.peers().end() ? hex_text(node.value) : member->second.known.name;
    if (is)
      log::info("a node is there", {{"node", name}, {"protocol", peer(node).version}});
    else
      log::warn("a node is away", {{"node", name}});
    if (is)
      links_.post([this, node, number = connection->second] { news_.reachable(node, number); });
    else
      leave_alone(node, "no heartbeat was answered in time");
    place_soon_ = true;
  }
  void take_leads(const replication::NodeLeads& leads) {
    const auto connection = connected_.find(leads.node);
    if (connection == connected_.end()) return;
    auto list = std::make_shared<const std::vector<replication::Leading>>(leads.slots);
    links_.post([this, node = leads.node, number = connection->second, list = std::move(list)] {
      news_.leads(node, number, list);
    });
  }
  void notify(NodeId to, const PeerNotice& notice) { (void)links_.send(to, kNotices, encode_notice(notice)); }
  void tell_self(NodeId to) {
    notify(to, NodeNotice{.address = own_address(), .draining = members_.file().draining});
    notify(to, ClientsNotice{.leaving = members_.leaving(), .address = options_.client_address});
    tell_pins(to);
  }
  PeerAddress own_address() const {
    PeerAddress address = options_.advertise;
    if (address.port == 0) address.port = links_.port();
    return address;
  }
  NodeLease own_lease() const {
    const PeerAddress address = own_address();
    return {.node = self_,
            .name = members_.file().node,
            .host = address.host,
            .port = address.port,
            .incarnation = incarnation_,
            .version = options_.version,
            .load = 0,
            .draining = members_.file().draining};
  }

  /// What follows of a change: the file, whom the links dial, whom they admit.
  void members_changed() {
    remember_members();
    if (members_.take_addresses_changed()) links_.set_peers(members_.addresses());
    if (!members_.take_file_changed()) return;
    const auto saved = save_node_file(options_.data_dir, members_.file());
    if (saved) return;
    log::error("what is known of the other nodes can't be written, a restart may need Redis to find them",
               {{"error", saved.error().message()}});
  }
  /// For the links' thread.
  void remember_members() {
    auto known = std::make_shared<const Members>(members_);
    const std::lock_guard lock(mutex_);
    known_ = std::move(known);
  }

  // -- Beats and placement --
  asio::awaitable<void> beat() {
    const Duration interval = replication::HeartbeatOptions{}.interval;
    asio::steady_timer timer(loop_);
    Instant due = steady_now();
    while (!tasks_.stopping()) {
      replication::HealthActions actions;
      health_.tick(steady_now(), actions);
      carry_out(actions);
      due = std::max(due + interval, steady_now());
      timer.expires_at(due);
      [[maybe_unused]] const auto over = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    }
  }
  asio::awaitable<void> look_after_slots() {
    asio::steady_timer timer(loop_);
    Instant last;
    while (!tasks_.stopping()) {
      const Instant now = steady_now();
      if (place_soon_ || now - last >= options_.placement_interval) {
        place_soon_ = false;
        last = now;
        members_.leases(leases_, now);  // Of a node that was removed and is back nothing else may tell.
        members_changed();
        make_placement(now);
        make_client_policy(now);
        for (shard::ShardId shard = 0; shard < shard_options_.shards; ++shard) {
          if (!asked_[shard]) mail_.ask_for_placement(shard);
          asked_[shard] = true;
        }
      }
      timer.expires_after(options_.placement_interval_busy);
      [[maybe_unused]] const auto over = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    }
  }
  void make_placement(Instant now) {
    auto placement = std::make_shared<const Placement>(options_.placement, self_, members_.views(now));
    const std::lock_guard lock(mutex_);
    placement_ = std::move(placement);
  }
  void take_report(shard::ShardId shard, PlacementPass pass) {
    asked_[shard] = false;
    if (pass.steps != 0 || pass.waiting != 0 || stopping_ || departure_.waits_for(pass)) place_soon_ = true;
    for (const SlotReport& slot : pass.slots) claim(slot);
    reports_[shard] = std::move(pass.slots);
    departure_.report(shard, std::move(pass));
    if (members_.parting()) let_go();
  }
  /// Of nodes that were removed, those that no slot counts on as far as this node can say may come again.
  void let_go() {
    std::set<NodeId> replicas;
    for (const auto& report : reports_) {
      const auto counted = report.empty() ? std::nullopt : counted_on(report, self_, members_.file().parting);
      if (!counted) return;
      replicas.insert(counted->begin(), counted->end());
    }
    members_.replicas(replicas);
    members_changed();
  }
  void claim(const SlotReport& slot) {
    const auto known = claimed_.find(slot.slot);
    if (!slot.leading) {
      if (known == claimed_.end()) return;
      state_->forget_claim(slot.slot);
      claimed_.erase(known);
      return;
    }
    SlotClaim claim{.slot = slot.slot, .term = slot.term, .leader = self_, .replicas = slot.replicas.voters};
    if (known != claimed_.end() && known->second == claim) return;
    claimed_[slot.slot] = claim;
    state_->claim(std::move(claim));
  }

  // -- ClusterStateEvents --
  void nodes_changed(const std::map<NodeId, NodeLease>& alive) override {
    leases_ = alive;
    members_.leases(leases_, steady_now());
    members_changed();
  }
  void slots_changed(const std::vector<SlotClaim>& changed) override {
    for (const SlotClaim& claim : changed) claims_[claim.slot] = claim;
  }
  void claim_taken(Slot /*slot*/, Term /*term*/) override {}
  /// What counts is who has the votes; a higher term that Redis knows of comes by the votes, too.
  void claim_refused(const SlotClaim& /*kept*/) override {}
  void filters_replaced(NodeId /*node*/, const std::vector<std::string>& /*filters*/) override {}
  void filters_changed(NodeId /*node*/, const std::vector<std::string>& /*added*/,
                       const std::vector<std::string>& /*removed*/) override {}
  void session_elsewhere(const std::string& /*client_id*/, const SessionLocation& /*location*/) override {}
  void redis_reachable(bool reachable) override {
    redis_ = reachable;
    if (reachable)
      log::info("Redis is there");
    else
      log::warn("Redis is away; what runs goes on, new nodes are not found");
  }
  void foreign_formation(const std::string& formation) override {
    complain("Redis has another cluster of this name; one of the two needs a Redis or a name of its own", formation);
  }
  void duplicate_node(const NodeLease& other) override {
    complain("another process has this node's node.id; each node needs its own", other.host);
  }
  void complain(std::string_view event, const std::string& what) {
    const auto kept_back = lines_.admit(event, steady_now());
    if (kept_back) log::error(event, {{"cluster", members_.file().cluster}, {"there", what}});
  }

  // -- Questions --
  template <class T, class Make>
  T ask(Make make) {
    auto answer = std::make_shared<std::promise<T>>();
    auto future = answer->get_future();
    asio::post(loop_, [answer, &make] { answer->set_value(make()); });
    return future.get();
  }
  ClusterView make_view() {
    const Instant now = steady_now();
    const NodeFile& file = members_.file();
    ClusterView view{.name = file.cluster, .id = file.cluster_id, .redis = redis_};
    view.nodes.push_back({.id = self_,
                          .name = file.node,
                          .address = own_address(),
                          .self = true,
                          .reachable = true,
                          .since = now - started_,
                          .draining = file.draining,
                          .leaving = members_.leaving(),
                          .has_lease = redis_,
                          .pins = file.pins,
                          .protocol = options_.protocol_max});
    const auto counters = links_.counters();
    for (const auto& [id, member] : members_.peers()) {
      const auto link = counters.find(id);
      view.nodes.push_back({.id = id,
                            .name = member.known.name,
                            .address = {.host = member.known.host, .port = member.known.port},
                            .self = false,
                            .reachable = member.reachable,
                            .since = now - member.since,
                            .draining = member.draining,
                            .leaving = member.leaving,
                            .has_lease = member.has_lease,
                            .pins = member.pins,
                            .protocol = peer(id).version,
                            .link = link == counters.end() ? LinkCounters{} : link->second});
    }
    for (const auto& report : reports_) view.slots.insert(view.slots.end(), report.begin(), report.end());
    std::ranges::sort(view.slots, {}, &SlotReport::slot);
    for (const auto& [slot, claim] : claims_) view.claims.push_back(claim);
    view.clients = departure_.clients();
    return view;
  }

  asio::awaitable<void> shut_down() {
    tasks_.stop();
    co_await tasks_.join();
    auto stopping = state_->stop();
    co_await std::move(stopping);
    busy_.reset();
  }

  const ClusterNodeOptions options_;
  const shard::ShardOptions& shard_options_;
  ShardMail& mail_;
  const std::uint64_t incarnation_;
  const NodeId self_;
  const Instant started_ = steady_now();

  asio::io_context loop_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> busy_;
  aio::TaskGroup tasks_{loop_.get_executor()};
  aio::TaskGroup stopping_tasks_{loop_.get_executor()};

  replication::NodeHealth health_;
  const FormationRecord formation_;
  std::map<NodeId, std::uint64_t> connected_;  ///< By which connection; none that was given up.
  std::map<NodeId, NodeLease> leases_;
  std::map<Slot, SlotClaim> claimed_;  ///< By this node.
  std::map<Slot, SlotClaim> claims_;
  std::vector<bool> asked_;
  std::vector<std::vector<SlotReport>> reports_;  ///< By shard.
  Departure departure_;
  bool stopping_ = false;
  bool place_soon_ = true;
  bool redis_ = false;
  LineLimiter lines_;
  Members members_;
  std::optional<ClusterState> state_;

  /// Guards the four below, which other threads read; nothing is taken while it is held.
  mutable std::mutex mutex_;
  std::map<NodeId, shard::PeerState> peers_;  ///< By their latest connections; those that were removed aren't there.
  std::shared_ptr<const Members> known_;
  std::shared_ptr<const Placement> placement_;
  std::shared_ptr<const ClientPolicy> client_policy_ = std::make_shared<const ClientPolicy>();

  PeerLinks links_;
  LinkNews news_{shard_options_, mail_, links_};  ///< The links' thread's.
  std::thread thread_;
};

ClusterNode::ClusterNode(ClusterNodeOptions options, NodeFile file, const shard::ShardOptions& shard_options,
                         ShardMail& mail)
    : core_(std::make_unique<Core>(std::move(options), std::move(file), shard_options, mail)) {}
ClusterNode::~ClusterNode() = default;

shard::PeerNodes& ClusterNode::peer_nodes() { return core_->peer_nodes(); }
std::uint16_t ClusterNode::port() const { return core_->port(); }
Result<void> ClusterNode::start() { return core_->start(); }
void ClusterNode::stop() { core_->stop(); }
ClusterView ClusterNode::view() { return core_->view(); }
std::optional<std::string> ClusterNode::move_slot(Slot slot, const std::string& name) {
  return core_->move_slot(slot, name);
}
std::optional<std::string> ClusterNode::release_slot(Slot slot) { return core_->release_slot(slot); }
bool ClusterNode::set_draining(const std::string& name, bool draining) { return core_->set_draining(name, draining); }
void ClusterNode::leave() { core_->leave(); }
bool ClusterNode::left() { return core_->left(); }
bool ClusterNode::remove(const std::string& name) { return core_->remove(name); }
void ClusterNode::report(shard::ShardId shard, PlacementPass pass) { core_->report(shard, std::move(pass)); }
std::shared_ptr<const Placement> ClusterNode::placement() const { return core_->placement(); }
std::shared_ptr<const ClientPolicy> ClusterNode::client_policy() const { return core_->client_policy(); }

}  // namespace parley::cluster
