#include "broker/shard/session_claims.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"
#include "broker/shard/stored_will.hpp"

namespace parley::shard {
namespace {

constexpr Duration kLookAgain = std::chrono::milliseconds(100);
constexpr std::uint32_t kNever = 0xFFFF'FFFF;

bool has_expired(const StoredSession& stored, Timestamp now) {
  if (stored.disconnected.milliseconds == 0 || stored.expiry_interval == kNever) return false;
  return stored.disconnected.milliseconds + 1000ULL * stored.expiry_interval <= now.milliseconds;
}

remote::Claimed describe(const StoredSession& stored) {
  remote::Claimed event;
  event.present = true;
  event.user = stored.user;
  event.expiry_interval = stored.expiry_interval;
  event.disconnected = stored.disconnected;
  event.state = stored.state;
  for (const auto& cursor : stored.cursors) event.cursors.push_back({cursor.topic, cursor.epoch, cursor.acknowledged});
  return event;
}

StoredSession read(const std::string& client_id, const remote::Claimed& event) {
  StoredSession stored{
      .client_id = client_id,
      .user = std::string(event.user),
      .expiry_interval = static_cast<std::uint32_t>(std::min<std::uint64_t>(event.expiry_interval, kNever)),
      .disconnected = event.disconnected,
      .state = std::string(event.state)};
  for (const auto& cursor : event.cursors) {
    stored.cursors.push_back({std::string(cursor.topic), cursor.epoch, cursor.acknowledged});
  }
  return stored;
}

}  // namespace

std::string_view client_of(const format::RecordBody& body) {
  if (const auto* session = std::get_if<format::SessionRecord>(&body)) return session->client_id;
  if (const auto* end = std::get_if<format::SessionEndRecord>(&body)) return end->client_id;
  if (const auto* cursor = std::get_if<format::CursorRecord>(&body)) return cursor->client_id;
  return {};
}

bool SessionClaims::is_own(const Client* client, Slot slot) const {
  return client != nullptr && client->generation != 0 && client->session->connected() && shard_.may_host(slot) &&
         !pending_.contains(client->session->client_id());
}

// -- Claiming --

std::uint64_t SessionClaims::claim(const std::string& client_id, const std::string& user, std::uint64_t held,
                                   Answer answer) {
  const std::uint64_t token = next_token_++;
  const Slot slot = slot_of_name(client_id, shard_.options());
  shard_.strays().claimed(slot, client_id);
  asked_[token] = {.slot = slot,
                   .client_id = client_id,
                   .user = user,
                   .held = held,
                   .since = shard_.now(),
                   .sent_to = {},
                   .answer = std::move(answer)};
  ask(token);
  set_timer();
  return token;
}

void SessionClaims::ask(std::uint64_t token) {
  Asked& asked = asked_.at(token);
  const auto leadership = shard_.replicas().leadership(asked.slot);
  if (shard_.may_host(asked.slot)) {
    asked.sent_to = shard_.nodes().self();
    add(asked.slot, asked.client_id, {.from = asked.sent_to, .token = token, .user = asked.user, .held = asked.held});
  } else if (leadership.state == Leadership::State::Elsewhere) {
    const bool sent = shard_.nodes().try_send(leadership.node, NodeChannel::Sessions,
                                              remote::encode_for(asked.slot, remote::Claim{.slot = asked.slot,
                                                                                           .token = token,
                                                                                           .client_id = asked.client_id,
                                                                                           .user = asked.user,
                                                                                           .held = asked.held}));
    if (sent) asked.sent_to = leadership.node;
  }
}

void SessionClaims::claimed(NodeId from, const remote::Claimed& event) {
  const auto found = asked_.find(event.token);
  if (found == asked_.end() || found->second.sent_to != from) return;
  if (event.status == remote::Status::NotLeader) {
    found->second.sent_to = {};  // Asked again by the timer.
    return;
  }
  const Asked asked = std::move(found->second);
  asked_.erase(found);
  switch (event.status) {
    case remote::Status::Done: {
      Granted granted{.generation = event.generation, .stored = {}};
      if (event.present) granted.stored = read(asked.client_id, event);
      asked.answer(std::move(granted));
      return;
    }
    case remote::Status::Refused: asked.answer(chat::Refusal::NotAuthorized); return;
    default: asked.answer(StorageError::Failed);
  }
}

// -- Leading --

void SessionClaims::claim(NodeId from, const remote::Claim& event) {
  const std::string client_id(event.client_id);
  const Request request{.from = from, .token = event.token, .user = std::string(event.user), .held = event.held};
  if (event.slot != slot_of_name(client_id, shard_.options()) || !shard_.may_host(event.slot)) {
    remote::Claimed refused;
    refused.status = remote::Status::NotLeader;
    answer({.slot = event.slot, .requests = {}, .checks = {}}, request, refused);
    return;
  }
  add(event.slot, client_id, request);
}

void SessionClaims::add(Slot slot, const std::string& client_id, Request request) {
  Pending& pending = pending_[client_id];
  pending.slot = slot;
  // One that comes again over the same connection is answered once: a second answer would be a newer generation.
  const auto same = [&](const Request& one) { return one.from == request.from && one.token == request.token; };
  if (std::ranges::any_of(pending.requests, same)) return;
  pending.requests.push_back(std::move(request));
  if (pending.requests.size() > 1 || pending.settling) return;
  pending.asked_to_yield = false;
  load(client_id, pending);
}

void SessionClaims::load(const std::string& client_id, Pending& pending) {
  if (std::exchange(pending.loading, true)) return;
  shard_.store().load_session(shard_.id(), client_id);
}

void SessionClaims::session_loaded(const std::string& client_id, const Result<std::optional<StoredSession>>& loaded) {
  const auto found = pending_.find(client_id);
  if (found == pending_.end()) return;
  Pending& pending = found->second;
  pending.loading = false;
  if (loaded) {
    decide(client_id, pending, *loaded);
  } else {
    log::error("a session can't be loaded, refusing who wants it",
               {{"client_id", client_id}, {"error", loaded.error().message()}});
    for (const Check& check : std::exchange(pending.checks, {})) check.then(remote::Status::Failed);
    if (!pending.requests.empty()) {
      remote::Claimed failed;
      failed.status = remote::Status::Failed;
      const Request request = std::move(pending.requests.front());
      pending.requests.pop_front();
      answer(pending, request, failed);
    }
  }
  go_on(client_id);
}

/// Whoever was answered may have changed things.
void SessionClaims::go_on(const std::string& client_id) {
  const auto now = pending_.find(client_id);
  if (now == pending_.end() || now->second.loading || now->second.settling || now->second.yielding != NodeId{}) return;
  if (!now->second.requests.empty()) {
    now->second.asked_to_yield = false;
    load(client_id, now->second);
  } else {
    pending_.erase(now);
  }
}

SessionClaims::Owner& SessionClaims::owner_of(Slot slot, const std::string& client_id) {
  Owners& owners = owners_[slot];
  if (owners.by_client.size() >= owners.sweep_at && !owners.by_client.contains(client_id)) {
    std::erase_if(owners.by_client, [](const auto& one) { return one.second.recorded; });
    owners.sweep_at = std::max(kOwnersKept, 2 * owners.by_client.size());
  }
  return owners.by_client[client_id];
}

void SessionClaims::decide(const std::string& client_id, Pending& pending, const std::optional<StoredSession>& stored) {
  Owner& known = owner_of(pending.slot, client_id);
  if (!known.verified) {
    // A node that says it has a later one than is stored may have it for as long as its connection, and has to yield
    // it.
    const bool disk_counts = stored && (stored->generation >= known.generation || !pending.checks.empty());
    if (disk_counts) known = {.node = stored->owner, .generation = stored->generation, .recorded = true};
    known.verified = true;
  }
  std::vector<std::pair<std::function<void(remote::Status)>, remote::Status>> answers;
  for (Check& check : std::exchange(pending.checks, {})) {
    answers.emplace_back(std::move(check.then), judge(known, check.from, check.generation));
    if (answers.back().second == remote::Status::Done) lost_to(check.from, client_id, check.generation);
  }
  for (const auto& [then, status] : answers) then(status);
  if (pending.requests.empty() || pending.settling) return;
  // Nothing above has asked for another session: `pending` is still there. But what is known may have changed.
  const Owner owner = owner_of(pending.slot, client_id);
  const Request request = pending.requests.front();
  if (request.token == 0) return settle(client_id, pending, owner, stored);
  remote::Claimed event;
  if (stored && stored->user != request.user) {
    event.status = remote::Status::Refused;
  } else if (request.held != 0 && owner.node == request.from && owner.generation == request.held) {
    event = describe_for(request.from, stored);
    event.generation = owner.generation;
  } else {
    NodeId holder = owner.node;
    if (holder == NodeId{} && shard_.clients().find(client_id) != nullptr) holder = shard_.nodes().self();
    const bool elsewhere = holder != request.from && !pending.asked_to_yield;
    if (elsewhere && ask_to_yield(client_id, pending, holder, owner.generation)) return;
    event = describe_for(request.from, stored);
    event.generation = std::max(owner.generation, request.held) + 1;
    owner_of(pending.slot, client_id) = {.node = request.from, .generation = event.generation, .verified = true};
  }
  shard_.orphans().forget(client_id);
  pending.requests.pop_front();
  answer(pending, request, event);
}

/// Of one that is over only its will is wanted. A node that knows of no wills gets none: what is due is published here.
remote::Claimed SessionClaims::describe_for(NodeId node, const std::optional<StoredSession>& stored) {
  if (!stored) return {};
  const bool over = stored->expiry_interval == 0 || has_expired(*stored, shard_.wall());
  const auto split = split_will(stored->state);
  const bool has_will = split && split->will;
  if (!has_will) return over ? remote::Claimed{} : describe(*stored);
  if (node == shard_.nodes().self() || shard_.nodes().peer(node).version >= kWillsVersion) return describe(*stored);
  const bool due = over || split->will->delay == Duration::zero();
  if (due) shard_.wills().publish(*split->will, {.user = stored->user, .client_id = stored->client_id}, nullptr);
  if (over) return {};
  remote::Claimed event = describe(*stored);
  event.state = without_will(event.state);
  return event;
}

// -- Settling --

void SessionClaims::settle(Slot slot, const std::string& client_id) {
  if (shard_.may_host(slot)) add(slot, client_id, {.from = shard_.nodes().self(), .token = 0, .user = {}, .held = 0});
}

void SessionClaims::settle(const std::string& client_id, Pending& pending, const Owner& owner,
                           const std::optional<StoredSession>& stored) {
  pending.requests.pop_front();
  pending.settling = true;
  shard_.orphans().settle(client_id, owner.generation, stored, [this, client_id] {
    const auto found = pending_.find(client_id);
    if (found == pending_.end()) return;
    found->second.settling = false;
    go_on(client_id);
  });
}

void SessionClaims::ended(Slot slot, const std::string& client_id, std::uint64_t generation) {
  owner_of(slot, client_id) = {.node = {}, .generation = generation + 1, .verified = true, .recorded = true};
}

/// Of a session that nobody has, whoever writes first has it.
remote::Status SessionClaims::judge(Owner& owner, NodeId from, std::uint64_t generation) {
  if (owner.node == NodeId{} && owner.generation == 0) {
    if (generation != 0) owner = {.node = from, .generation = generation, .verified = true};
  } else if (owner.generation != generation || owner.node != from) {
    return remote::Status::Refused;
  }
  owner.recorded = true;
  return remote::Status::Done;
}

/// True when it has to be waited for.
bool SessionClaims::ask_to_yield(const std::string& client_id, Pending& pending, NodeId owner,
                                 std::uint64_t generation) {
  const bool here = owner == shard_.nodes().self();
  if (owner == NodeId{} || (!here && !shard_.nodes().connected(owner))) return false;
  pending.asked_to_yield = true;
  pending.yielding = owner;
  pending.since = shard_.now();
  set_timer();
  if (here) {
    yield_here(client_id, generation, [this, client_id, slot = pending.slot, owner] {
      yielded(owner, {.slot = slot, .client_id = client_id, .generation = 0});
    });
  } else {
    shard_.nodes().send(owner, NodeChannel::Sessions,
                        remote::encode_for(pending.slot, remote::Yield{pending.slot, client_id, generation}));
  }
  return true;
}

void SessionClaims::yielded(NodeId from, const remote::Yielded& event) {
  const std::string client_id(event.client_id);
  if (const auto owners = owners_.find(event.slot); owners != owners_.end()) {
    const auto owner = owners->second.by_client.find(client_id);
    const bool is_its = owner != owners->second.by_client.end() && owner->second.node == from &&
                        owner->second.generation == event.generation;
    if (is_its) owners->second.by_client.erase(owner);
  }
  const auto found = pending_.find(client_id);
  if (found == pending_.end() || found->second.yielding != from) return;
  found->second.yielding = {};
  // What it has written is committed by now.
  load(client_id, found->second);
}

void SessionClaims::answer(const Pending& pending, const Request& request, remote::Claimed event) {
  event.slot = pending.slot;
  event.token = request.token;
  if (request.from == shard_.nodes().self()) {
    claimed(request.from, event);
  } else {
    shard_.nodes().send(request.from, NodeChannel::Sessions, remote::encode_for(pending.slot, event));
  }
}

void SessionClaims::hold(NodeId from, const remote::Hold& event) {
  const std::string client_id(event.client_id);
  if (event.slot != slot_of_name(client_id, shard_.options()) || !shard_.may_host(event.slot)) return;
  Owner& owner = owner_of(event.slot, client_id);
  if (!owner.verified) {
    if (event.generation > owner.generation) owner = {.node = from, .generation = event.generation};
  } else if (event.generation != owner.generation || owner.node != from) {
    if (from == shard_.nodes().self()) return lose_later(client_id, event.generation, nullptr);
    shard_.nodes().send(from, NodeChannel::Sessions,
                        remote::encode_for(event.slot, remote::Yield{event.slot, client_id, event.generation}));
  }
}

void SessionClaims::check(NodeId from, Slot slot, const std::string& client_id, std::uint64_t generation,
                          std::function<void(remote::Status)> then) {
  const auto pending = pending_.find(client_id);
  const bool behind = pending != pending_.end() && !pending->second.checks.empty();
  Owner& owner = owner_of(slot, client_id);
  if (owner.verified && !behind) {
    const auto status = judge(owner, from, generation);
    if (status == remote::Status::Done) {
      lost_to(from, client_id, generation);
      shard_.orphans().forget(client_id);
    }
    then(status);
    return;
  }
  Pending& waiting = pending_[client_id];
  waiting.slot = slot;
  waiting.checks.push_back({from, generation, std::move(then)});
  load(client_id, waiting);
}

// -- Yielding --

void SessionClaims::yield(NodeId from, const remote::Yield& event) {
  const std::string client_id(event.client_id);
  yield_here(client_id, event.generation, [this, from, client_id, slot = event.slot, generation = event.generation] {
    shard_.nodes().send(from, NodeChannel::Sessions,
                        remote::encode_for(slot, remote::Yielded{slot, client_id, generation}));
  });
}

void SessionClaims::yield_here(const std::string& client_id, std::uint64_t generation, std::function<void()> done) {
  Client* client = shard_.clients().find(client_id);
  if (client == nullptr || client->generation > generation) {
    done();
    return;
  }
  log::info("a session goes on at another node", {{"client_id", client_id}, {"generation", generation}});
  shard_.connecting().abandon(*client);
  shard_.close_client(*client, mqtt::ReasonCode::SessionTakenOver);
  // One that ends with its connection is gone now.
  client = shard_.clients().find(client_id);
  if (client != nullptr && client->restored) {
    shard_.forget_session(*client);  // What it knows may be old.
    client = nullptr;
  }
  if (client == nullptr) {
    done();
    return;
  }
  client->will.reset();
  shard_.session_records().write_moving(*client, [this, place = client->place, identity = client->session->identity(),
                                                  then = std::move(done)](const Result<void>& /*outcome*/) {
    Client* yielded = shard_.clients().find(place, identity);
    // It may be back already, by the word of another leader.
    const bool gone = yielded != nullptr && !yielded->session->connected() && yielded->opening.generation == 0;
    if (gone) shard_.forget_session(*yielded);
    then();
  });
}

/// `node` writes in a generation that this node hasn't given.
void SessionClaims::lost_to(NodeId node, const std::string& client_id, std::uint64_t generation) {
  const Client* client = shard_.clients().find(client_id);
  const bool older = client != nullptr && client->generation < generation;
  if (older && node != shard_.nodes().self()) lost(client_id, client->generation);
}

void SessionClaims::lost(const std::string& client_id, std::uint64_t generation) {
  Client* client = shard_.clients().find(client_id);
  if (client == nullptr || client->generation > generation) return;
  log::info("another node has the session, dropping it here", {{"client_id", client_id}, {"generation", generation}});
  shard_.connecting().give_up(*client);
  // It has nothing to write any more.
  client->persisted = false;
  client->session->set_expiry_interval(0);
  shard_.close_client(*client, mqtt::ReasonCode::SessionTakenOver);
  client = shard_.clients().find(client_id);
  if (client != nullptr) shard_.forget_session(*client);
}

void SessionClaims::lose_later(std::string client_id, std::uint64_t generation,
                               std::function<void(Result<void>)> done) {
  lost_.push_back({std::move(client_id), generation, std::move(done)});
  set_timer();
}

void SessionClaims::release(const std::string& client_id, std::uint64_t generation) {
  if (generation == 0 || shard_.nodes().standalone()) return;
  const Slot slot = slot_of_name(client_id, shard_.options());
  const remote::Yielded event{slot, client_id, generation};
  const auto leadership = shard_.replicas().leadership(slot);
  if (leadership.state == Leadership::State::Here) {
    yielded(shard_.nodes().self(), event);
  } else if (leadership.state == Leadership::State::Elsewhere) {
    shard_.nodes().send(leadership.node, NodeChannel::Sessions, remote::encode_for(slot, event));
  }
}

// -- Changes --

/// A new leader knows nothing of what the one before had in memory.
void SessionClaims::leadership_changed(Slot slot) {
  changed_.insert(slot);
  owners_.erase(slot);
  drop(slot, remote::Status::NotLeader);
  std::vector<std::uint64_t> again;
  for (auto& [token, asked] : asked_) {
    if (asked.slot != slot) continue;
    asked.sent_to = {};
    again.push_back(token);
  }
  for (const std::uint64_t token : again) {
    if (asked_.contains(token)) ask(token);
  }
}

void SessionClaims::drop(Slot slot, remote::Status status) {
  std::vector<Pending> dropped;
  for (auto pending = pending_.begin(); pending != pending_.end();) {
    const auto next = std::next(pending);
    if (pending->second.slot == slot) {
      dropped.push_back(std::move(pending->second));
      pending_.erase(pending);
    }
    pending = next;
  }
  for (Pending& pending : dropped) {
    for (const Check& check : pending.checks) check.then(status);
    for (const Request& request : pending.requests) {
      remote::Claimed event;
      event.status = status;
      answer(pending, request, event);
    }
  }
}

void SessionClaims::node_connected(NodeId node) {
  // What it asked over the connection before, it asks again.
  for (auto& [client_id, pending] : pending_) {
    std::erase_if(pending.requests, [&](const Request& request) { return request.from == node; });
  }
  std::vector<std::uint64_t> again;
  for (auto& [token, asked] : asked_) {
    if (asked.sent_to == node) again.push_back(token);
  }
  for (const std::uint64_t token : again) {
    if (asked_.contains(token)) ask(token);
  }
  node_unreachable(node);
}

/// Whom it was asked to yield won't answer over this connection any more.
void SessionClaims::node_unreachable(NodeId node) {
  for (auto& [client_id, pending] : pending_) {
    if (pending.yielding != node) continue;
    pending.yielding = {};
    load(client_id, pending);
  }
}

void SessionClaims::set_timer() {
  if (std::exchange(timer_, true)) return;
  shard_.timers().add({.due = shard_.now() + kLookAgain, .kind = TimerKind::SessionClaims});
}

void SessionClaims::run_timer() {
  timer_ = false;
  for (const Lost& one : std::exchange(lost_, {})) {
    lost(one.client_id, one.generation);
    if (one.done) one.done(chat::Refusal::NotAuthorized);
  }
  for (auto& [client_id, pending] : pending_) {
    if (pending.yielding == NodeId{} || pending.since + kYieldWait > shard_.now()) continue;
    log::warn("a node doesn't give up a session, taking it", {{"node", pending.yielding}, {"client_id", client_id}});
    pending.yielding = {};
    load(client_id, pending);
  }
  std::vector<std::uint64_t> again;
  std::vector<Asked> late;
  for (auto& [token, asked] : asked_) {
    if (asked.sent_to == NodeId{}) again.push_back(token);
  }
  for (const std::uint64_t token : again) {
    if (asked_.contains(token)) ask(token);
  }
  const Duration longest = shard_.options().leader_wait + kYieldWait;
  std::erase_if(asked_, [&](auto& one) {
    if (one.second.since + longest > shard_.now()) return false;
    late.push_back(std::move(one.second));
    return true;
  });
  for (const Asked& asked : late) asked.answer(chat::Refusal::NoMajority);
  if (!asked_.empty() || !pending_.empty() || !lost_.empty()) set_timer();
}

/// Of stored sessions the new leader knows from its disk.
void SessionClaims::flush() {
  if (changed_.empty() || shard_.nodes().standalone()) return;
  const std::set<Slot> slots = std::exchange(changed_, {});
  for (const Slot slot : slots) {
    const auto leadership = shard_.replicas().leadership(slot);
    if (leadership.state == Leadership::State::Nobody) changed_.insert(slot);
  }
  shard_.clients().for_each([&](const Client& client) {
    const std::string& client_id = client.session->client_id();
    const Slot slot = slot_of_name(client_id, shard_.options());
    if (client.generation == 0 || client.persisted || !slots.contains(slot)) return;
    const remote::Hold event{slot, client_id, client.generation};
    const auto leadership = shard_.replicas().leadership(slot);
    if (leadership.state == Leadership::State::Elsewhere) {
      shard_.nodes().send(leadership.node, NodeChannel::Sessions, remote::encode_for(slot, event));
    } else if (leadership.state == Leadership::State::Here) {
      hold(shard_.nodes().self(), event);
    }
  });
}

// -- What was left --

bool SessionClaims::tell_left(const std::string& client_id, std::uint64_t generation, Timestamp left) {
  if (generation == 0) return false;  // Of no node, as the leader sees it.
  const Slot slot = slot_of_name(client_id, shard_.options());
  const std::uint64_t wall = shard_.wall().milliseconds;
  const remote::Left event{
      .slot = slot, .client_id = client_id, .generation = generation, .away = wall - std::min(left.milliseconds, wall)};
  const auto leadership = shard_.replicas().leadership(slot);
  if (leadership.state == Leadership::State::Here) {
    shard_.orphans().left(shard_.nodes().self(), event);
  } else if (leadership.state == Leadership::State::Elsewhere) {
    const std::uint16_t spoken = shard_.nodes().peer(leadership.node).version;
    if (spoken != 0 && spoken < kWillsVersion) return false;
    shard_.nodes().send(leadership.node, NodeChannel::Sessions, remote::encode_for(slot, event));
  }
  return true;
}

void SessionClaims::settled(const remote::Settled& event) {
  shard_.strays().settled(event);
  Client* client = shard_.clients().find(event.client_id);
  if (client == nullptr || !client->restored || client->generation != event.generation) return;
  if (event.ended) return shard_.forget_session(*client);
  client->will.reset();
  client->tell_again = {};
  client->tell_at = {};
  shard_.schedule(*client);
}

}  // namespace parley::shard
