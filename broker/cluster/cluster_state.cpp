#include "broker/cluster/cluster_state.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "base/aio/within.hpp"
#include "base/log.hpp"
#include "broker/cluster/random.hpp"

namespace parley::cluster {
namespace {

/// Hints come in bursts; each is answered by a poll, but no two within this time.
constexpr Duration kPollGap = std::chrono::milliseconds(10);
constexpr std::size_t kClaimsMax = 65'536;

/// Where the poll's replies are.
enum PollReply : std::size_t {
  OwnLease,
  AddedSelf,
  PutMark,
  Mark,
  SlotsVersion,
  FilterVersions,
  Members,
  Leases,
  PutFormation,
  FormationThere,
};

bool is_script_missing(const RedisReply& reply) { return reply.error_word() == "NOSCRIPT"; }

const RedisReply* first_error(const std::vector<RedisReply>& replies) {
  for (const RedisReply& reply : replies) {
    if (reply.is_error()) return &reply;
    const auto* inner = reply.kind == RedisReply::Kind::Array ? first_error(reply.elements) : nullptr;
    if (inner != nullptr) return inner;
  }
  return nullptr;
}

}  // namespace

ClusterState::ClusterState(asio::any_io_executor executor, ClusterStateOptions options, RedisOptions redis,
                           ClusterStateEvents& events)
    : options_(std::move(options)),
      keys_(options_.cluster),
      events_(events),
      executor_(executor),
      client_(executor, std::move(redis), keys_.nodes, keys_.hints, *this),
      tasks_(executor),
      poked_(executor),
      self_(options_.self),
      announcements_(keys_, self_.node, self_.incarnation),
      members_{self_.node} {}

ClusterState::~ClusterState() = default;

void ClusterState::start() {
  client_.start();
  tasks_.spawn(work());
}

asio::awaitable<void> ClusterState::stop() {
  tasks_.stop();
  co_await tasks_.join();
  if (client_.is_connected()) {
    std::vector<RedisRequest> goodbye;
    goodbye.push_back({.key = keys_.nodes, .command = {"DEL", keys_.lease(self_.node)}});
    goodbye.push_back({.key = keys_.hints, .command = {"PUBLISH", keys_.hints, "nodes"}});
    auto calling = client_.call(std::move(goodbye));
    [[maybe_unused]] const auto said = co_await std::move(calling);
  }
  auto stopping = client_.stop();
  co_await std::move(stopping);
}

// -- What this node announces --------------------------------------------------------------------------------------

void ClusterState::set_load(std::uint32_t per_mille) { self_.load = per_mille; }

void ClusterState::set_draining(bool draining) {
  self_.draining = draining;
  poke();
}

void ClusterState::add_filter(const std::string& filter) {
  announcements_.add_filter(filter);
  poke();
}

void ClusterState::remove_filter(const std::string& filter) {
  announcements_.remove_filter(filter);
  poke();
}

void ClusterState::claim(SlotClaim claim) {
  announcements_.claim(std::move(claim));
  poke();
}

void ClusterState::forget_claim(Slot slot) { announcements_.forget_claim(slot); }

void ClusterState::place_session(Slot slot, const std::string& client_id, std::uint64_t generation) {
  announcements_.place_session(slot, client_id, generation);
  poke();
}

void ClusterState::remove_session(const std::string& client_id) {
  announcements_.remove_session(client_id);
  poke();
}

// -- Questions -----------------------------------------------------------------------------------------------------

asio::awaitable<Result<std::optional<SessionLocation>>> ClusterState::find_session(Slot slot, std::string client_id) {
  const std::string key = keys_.sessions(slot);
  RedisRequest request{.key = key, .command = {"HGET", key, std::move(client_id)}};
  auto calling = client_.call(std::move(request));
  const auto reply = co_await std::move(calling);
  if (!reply) co_return reply.error();
  if (reply->is_nil()) co_return std::optional<SessionLocation>();
  if (reply->kind != RedisReply::Kind::Text) co_return RedisError::UnexpectedReply;
  co_return read_location(reply->text);
}

asio::awaitable<Result<void>> ClusterState::remove_node(NodeId node) {
  std::vector<RedisRequest> requests;
  const std::string id = hex_text(node.value);
  const std::string& key = keys_.nodes;
  requests.push_back({.key = key, .command = {"SREM", key, id}});
  requests.push_back(
      {.key = key, .command = {"DEL", keys_.lease(node), keys_.filters(node), keys_.filters_next(node)}});
  requests.push_back({.key = key, .command = {"HDEL", keys_.filter_versions, id}});
  requests.push_back({.key = key, .command = {"PUBLISH", keys_.hints, "nodes"}});
  auto calling = client_.call(std::move(requests));
  const auto replies = co_await std::move(calling);
  if (!replies) co_return replies.error();
  if (first_error(*replies) != nullptr) co_return RedisError::UnexpectedReply;
  co_return Result<void>();
}

// -- The loop ------------------------------------------------------------------------------------------------------

void ClusterState::poke() {
  poke_waits_ = true;
  poked_.notify();
}

void ClusterState::redis_connected() {
  // Nobody says whether this is the Redis of before, or one that lost its last second to a failover.
  everything_lost();
  poke();
}

void ClusterState::redis_lost() {
  if (std::exchange(reachable_, false)) events_.redis_reachable(false);
}

void ClusterState::redis_published(std::string_view message) {
  const auto hint = read_filter_hint(message);
  if (hint && hint->node != self_.node) {
    const auto known = filter_versions_.find(hint->node);
    if (known != filter_versions_.end() && known->second == hint->from && hint->from != hint->to) {
      known->second = hint->to;
      events_.filters_changed(hint->node, hint->added, hint->removed);
      return;
    }
  }
  if (!hint || hint->node != self_.node) poke();
}

void ClusterState::everything_lost() {
  announcements_.lost();
  slots_stale_ = true;
  mark_.clear();
}

asio::awaitable<void> ClusterState::work() {
  while (!tasks_.stopping()) {
    if (client_.is_connected()) {
      auto polling = poll();
      const bool polled = co_await std::move(polling);
      if (polled) {
        auto announcing = announce();
        [[maybe_unused]] const bool announced = co_await std::move(announcing);
      }
    }
    asio::steady_timer gap(executor_, kPollGap);
    [[maybe_unused]] const auto rested = co_await gap.async_wait(asio::as_tuple(asio::use_awaitable));
    if (!std::exchange(poke_waits_, false)) {
      auto waiting = poked_.wait();
      [[maybe_unused]] const auto woken = co_await aio::within(options_.poll_interval, std::move(waiting));
      poke_waits_ = false;
    }
  }
}

/// One round trip: this node's lease, and whether anything is new.
asio::awaitable<bool> ClusterState::poll() {
  std::vector<NodeId> asked(members_.begin(), members_.end());
  const std::string id = hex_text(self_.node.value);
  const std::string lease_time =
      std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(options_.lease_time).count());
  RedisCommand leases{"MGET"};
  for (const NodeId node : asked) leases.push_back(keys_.lease(node));
  std::vector<RedisRequest> requests;
  const auto add = [&](RedisCommand command) {
    requests.push_back({.key = keys_.nodes, .command = std::move(command)});
  };
  add({"SET", keys_.lease(self_.node), encode(self_), "PX", lease_time, "GET"});
  add({"SADD", keys_.nodes, id});
  add({"SET", keys_.mark, hex_text(random_number()), "NX"});
  add({"GET", keys_.mark});
  add({"GET", keys_.slots_version});
  add({"HGETALL", keys_.filter_versions});
  add({"SMEMBERS", keys_.nodes});
  add(std::move(leases));
  if (!options_.formation.empty()) {
    add({"SET", keys_.formation, options_.formation, "NX"});
    add({"GET", keys_.formation});
  }
  auto calling = client_.call(std::move(requests));
  const auto replies = co_await std::move(calling);
  if (!replies) co_return false;
  if (const RedisReply* error = first_error(*replies)) {
    complain(error->text);
    co_return false;
  }
  if (client_.is_connected() && !std::exchange(reachable_, true)) events_.redis_reachable(true);
  take_own_lease((*replies)[OwnLease]);
  if (replies->size() > FormationThere && (*replies)[FormationThere].text != options_.formation) {
    events_.foreign_formation((*replies)[FormationThere].text);
  }
  take_mark((*replies)[Mark]);
  if ((*replies)[SlotsVersion].text != slots_version_) slots_stale_ = true;
  slots_version_ = (*replies)[SlotsVersion].text;
  take_filter_versions((*replies)[FilterVersions]);
  take_nodes((*replies)[Members], (*replies)[Leases]);
  auto reading = read_news();
  const bool read = co_await std::move(reading);
  co_return read;
}

/// What the poll has found to be new.
asio::awaitable<bool> ClusterState::read_news() {
  const bool with_slots = slots_stale_;
  const auto wanted = filters_wanted_;
  std::vector<RedisRequest> requests;
  if (with_slots) requests.push_back({.key = keys_.slots, .command = {"HGETALL", keys_.slots}});
  for (const auto& [node, version] : wanted) {
    requests.push_back({.key = keys_.nodes, .command = {"SMEMBERS", keys_.filters(node)}});
  }
  if (requests.empty()) co_return true;
  auto calling = client_.call(std::move(requests));
  const auto replies = co_await std::move(calling);
  if (!replies || first_error(*replies) != nullptr) co_return false;
  std::size_t place = 0;
  if (with_slots) {
    slots_stale_ = false;
    take_slots((*replies)[place++]);
  }
  for (const auto& [node, version] : wanted) take_filters(node, version, (*replies)[place++]);
  co_return true;
}

asio::awaitable<bool> ClusterState::announce() {
  while (true) {
    const Announcements::Batch batch = announcements_.next();
    if (batch.empty()) co_return true;
    auto calling = call_with_scripts(batch.requests);
    const auto replies = co_await std::move(calling);
    const RedisReply* error = replies ? first_error(*replies) : nullptr;
    if (!replies || error != nullptr) {
      if (error != nullptr) complain(error->text);
      announcements_.failed(batch);
      co_return false;
    }
    announcements_.told(batch);
    take_kept(batch, *replies);
  }
}

/// Scripts go by their digest; a server that doesn't know one gets the texts, once.
asio::awaitable<Result<std::vector<RedisReply>>> ClusterState::call_with_scripts(std::vector<RedisRequest> requests) {
  std::vector<RedisRequest> by_digest = requests;
  auto calling = client_.call(std::move(by_digest));
  auto replies = co_await std::move(calling);
  if (!replies || std::none_of(replies->begin(), replies->end(), is_script_missing)) co_return replies;
  for (RedisRequest& request : requests) {
    if (request.command.front() != "EVALSHA") continue;
    request.command[0] = "EVAL";
    request.command[1] = request.command[1] == claim_script().digest ? claim_script().text : withdraw_script().text;
  }
  auto again = client_.call(std::move(requests));
  replies = co_await std::move(again);
  co_return replies;
}

void ClusterState::complain(const std::string& error) {
  const auto kept_back = lines_.admit(error, std::chrono::steady_clock::now());
  if (kept_back) log::warn("Redis refuses what the cluster needs", {{"error", error}, {"unlogged", *kept_back}});
}

// -- What Redis says -----------------------------------------------------------------------------------------------

void ClusterState::take_own_lease(const RedisReply& reply) {
  // The first time it may be that of the process before this one.
  if (std::exchange(first_beat_, false)) return;
  const auto before = read_lease(reply.text);
  if (before && before->incarnation != self_.incarnation) events_.duplicate_node(*before);
}

void ClusterState::take_mark(const RedisReply& reply) {
  if (reply.text == mark_) return;
  if (!mark_.empty()) {
    log::info("Redis has lost the cluster's state, announcing everything again");
    everything_lost();
  }
  mark_ = reply.text;
}

void ClusterState::take_nodes(const RedisReply& members, const RedisReply& leases) {
  std::map<NodeId, NodeLease> alive;
  for (const RedisReply& text : leases.elements) {
    auto lease = read_lease(text.text);
    if (lease) alive.insert_or_assign(lease->node, *std::move(lease));
  }
  std::set<NodeId> now{self_.node};
  for (const RedisReply& member : members.elements) {
    const auto id = read_hex(member.text);
    if (id && *id != 0) now.insert(NodeId{*id});
  }
  if (!std::includes(members_.begin(), members_.end(), now.begin(), now.end())) poke();  // To read their leases.
  members_ = std::move(now);
  if (alive == alive_) return;
  alive_ = std::move(alive);
  events_.nodes_changed(alive_);
}

void ClusterState::take_slots(const RedisReply& reply) {
  std::vector<SlotClaim> changed;
  for (std::size_t i = 0; i + 1 < reply.elements.size() && i / 2 < kClaimsMax; i += 2) {
    const auto slot = read_decimal(reply.elements[i].text);
    if (!slot || *slot >= kClaimsMax) continue;
    auto claim = read_claim({*slot}, reply.elements[i + 1].text);
    if (!claim) continue;
    SlotClaim& known = slots_[claim->slot];
    if (known == *claim) continue;
    known = *claim;
    changed.push_back(*std::move(claim));
  }
  if (!changed.empty()) events_.slots_changed(changed);
}

/// A node without a version, after a loss, keeps what was known of it until it has announced itself again.
void ClusterState::take_filter_versions(const RedisReply& reply) {
  filters_wanted_.clear();
  for (std::size_t i = 0; i + 1 < reply.elements.size(); i += 2) {
    const auto id = read_hex(reply.elements[i].text);
    const auto version = read_decimal(reply.elements[i + 1].text);
    if (!id || !version || NodeId{*id} == self_.node) continue;
    const auto known = filter_versions_.find({*id});
    if (known == filter_versions_.end() || known->second != *version) filters_wanted_[{*id}] = *version;
  }
}

void ClusterState::take_filters(NodeId node, std::uint64_t version, const RedisReply& reply) {
  std::vector<std::string> filters;
  filters.reserve(reply.elements.size());
  for (const RedisReply& filter : reply.elements) filters.push_back(filter.text);
  filter_versions_[node] = version;
  events_.filters_replaced(node, filters);
}

void ClusterState::take_kept(const Announcements::Batch& batch, const Replies& replies) {
  std::set<Slot> refused;
  for (const std::size_t place : batch.claim_replies) {
    const auto& kept = replies[place].elements;
    for (std::size_t i = 0; i + 1 < kept.size(); i += 2) {
      const auto slot = read_decimal(kept[i].text);
      const auto claim = slot ? read_claim({*slot}, kept[i + 1].text) : std::nullopt;
      if (!claim) continue;
      refused.insert(claim->slot);
      const auto own = announcements_.claims().find(claim->slot);
      // A higher claim of this node may have come meanwhile; it will be answered itself.
      if (own == announcements_.claims().end() || own->second.term > claim->term) continue;
      announcements_.forget_claim(claim->slot);
      events_.claim_refused(*claim);
    }
  }
  for (const auto& [slot, term] : batch.claims) {
    if (!refused.contains(slot)) events_.claim_taken(slot, term);
  }
  for (const std::size_t place : batch.session_replies) {
    const auto& kept = replies[place].elements;
    for (std::size_t i = 0; i + 1 < kept.size(); i += 2) {
      const auto location = read_location(kept[i + 1].text);
      if (!location || !announcements_.forget_session(kept[i].text, location->generation)) continue;
      events_.session_elsewhere(kept[i].text, *location);
    }
  }
}

}  // namespace parley::cluster
