#include "broker/shard/orphans.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"
#include "broker/shard/stored_will.hpp"

namespace parley::shard {
namespace {

/// Several nodes may go, and many slots change hands, at about the same time: one walk is for all of them.
constexpr Duration kLookAfter = std::chrono::milliseconds(100);
constexpr Duration kLookAgain = std::chrono::seconds(2);
constexpr Duration kAgain = std::chrono::seconds(1);
/// So many are settled at once, so that clients' own requests have their turn.
constexpr std::size_t kBatch = 200;
constexpr Duration kBetweenBatches = std::chrono::milliseconds(20);
/// Beyond any time that settling takes: should it get lost, it is tried again.
constexpr Duration kSettling = std::chrono::seconds(10);
constexpr std::uint32_t kNever = 0xFFFF'FFFF;
constexpr std::uint64_t kAwayMax = 0xFFFF'FFFFULL * 1000;  ///< As long as any expiry interval, in milliseconds.

struct Dues {
  Instant will = Instant::max();
  Instant end = Instant::max();
  [[nodiscard]] Instant first() const { return std::min(will, end); }
};

Dues dues_of(Instant since, std::uint32_t expiry_interval, std::optional<Duration> will_delay) {
  Dues dues;
  if (expiry_interval != kNever) dues.end = since + std::chrono::seconds(expiry_interval);
  if (will_delay) dues.will = std::min(since + *will_delay, dues.end);
  return dues;
}

}  // namespace

// -- Changes --

void Orphans::node_unreachable(NodeId node) {
  gone_.try_emplace(node, shard_.now());
  look_later();
}

void Orphans::node_reachable(NodeId node) {
  const std::uint64_t incarnation = shard_.nodes().peer(node).incarnation;
  // Of one that is seen for the first time nobody knows whether it was started anew. If so it says itself what its
  // clients left.
  std::uint64_t& known = incarnations_.try_emplace(node, incarnation).first->second;
  const bool same = std::exchange(known, incarnation) == incarnation;
  gone_.erase(node);
  if (!same) return;
  // It was cut off, and has its clients still.
  for (auto one = orphans_.begin(); one != orphans_.end();) {
    const auto next = std::next(one);
    if (one->second.node == node && !one->second.told) remove(one);
    one = next;
  }
}

void Orphans::leadership_changed(Slot slot, bool here) {
  if (here) return look_later();
  for (auto one = orphans_.begin(); one != orphans_.end();) {
    const auto next = std::next(one);
    if (one->second.slot == slot) remove(one);
    one = next;
  }
}

void Orphans::forget(const std::string& client_id) {
  if (const auto found = orphans_.find(client_id); found != orphans_.end()) remove(found);
}

/// One that was never seen may be cut off only, like those that were.
Instant Orphans::death_of(NodeId node) { return gone_.try_emplace(node, shard_.now()).first->second; }

/// Since when a session counts as left; `death`: of its node.
Instant Orphans::since_of(Timestamp disconnected, Instant death) const {
  if (disconnected.milliseconds == 0) return death;
  const std::uint64_t wall = shard_.wall().milliseconds;
  const std::uint64_t left = std::min(disconnected.milliseconds, wall);
  return std::min(death, shard_.now() - std::chrono::milliseconds(wall - left));
}

// -- Finding them --

void Orphans::look_later() {
  if (shard_.nodes().standalone() || shard_.nodes().alone()) return;
  if (!look_at_) look_at_ = shard_.now() + kLookAfter;
  set_timer();
}

void Orphans::look() {
  look_at_.reset();
  looking_ = shard_.list_sessions({shard_.nodes().self()});
}

void Orphans::sessions_listed(std::uint64_t token, const Result<SessionList>& listed) {
  if (token != looking_) return;
  looking_ = 0;
  if (!listed) {
    log::error("sessions of nodes that are gone can't be read, trying again", {{"error", listed.error().message()}});
    look_at_ = shard_.now() + kLookAgain;
    set_timer();
    return;
  }
  const std::size_t before = orphans_.size();
  for (const SessionList::One& one : listed->sessions) add(one);
  if (orphans_.size() <= before) return;
  log::info("looking after sessions of nodes that are gone", {{"shard", shard_.id()}, {"sessions", orphans_.size()}});
}

void Orphans::add(const SessionList::One& one) {
  const Slot slot = slot_of_name(one.client_id, shard_.options());
  const bool led = shard_.replicas().leadership(slot).state == Leadership::State::Here;
  if (!led || one.owner == shard_.nodes().self() || shard_.nodes().connected(one.owner)) return;
  const Instant since = since_of(one.disconnected, death_of(one.owner));
  std::optional<Duration> delay;
  if (one.will_delay) delay = std::chrono::seconds(*one.will_delay);
  const Instant due = dues_of(since, one.expiry_interval, delay).first();
  if (due == Instant::max()) return;
  put(one.client_id,
      {.slot = slot, .node = one.owner, .generation = one.generation, .since = since, .due = due, .told = false});
}

void Orphans::left(NodeId from, const remote::Left& event) {
  std::string client_id(event.client_id);
  if (event.slot != slot_of_name(client_id, shard_.options())) return;
  if (shard_.replicas().leadership(event.slot).state != Leadership::State::Here) return;
  const auto known = orphans_.find(client_id);
  if (known != orphans_.end() && known->second.node == from && known->second.generation >= event.generation) return;
  put(client_id, {.slot = event.slot,
                  .node = from,
                  .generation = event.generation,
                  .since = shard_.now() - std::chrono::milliseconds(std::min<std::uint64_t>(event.away, kAwayMax)),
                  .due = shard_.now(),
                  .told = true});
}

/// Its node, should that be back and have it still.
void Orphans::tell(const std::string& client_id, const Orphan& orphan, bool ended) {
  const remote::Settled event{orphan.slot, client_id, orphan.generation, ended};
  if (orphan.node == shard_.nodes().self()) return shard_.session_claims().settled(event);
  const bool knows = shard_.nodes().connected(orphan.node) && shard_.nodes().peer(orphan.node).version >= kWillsVersion;
  if (knows) shard_.nodes().send(orphan.node, NodeChannel::Sessions, remote::encode_for(orphan.slot, event));
}

void Orphans::put(const std::string& client_id, Orphan orphan) {
  // A link that breaks is no death.
  if (const auto gone = gone_.find(orphan.node); gone != gone_.end()) {
    orphan.due = std::max(orphan.due, gone->second + shard_.options().node_timeout);
  }
  forget(client_id);
  by_due_.emplace(orphan.due, client_id);
  orphans_[client_id] = orphan;
  set_timer();
}

void Orphans::put_off(const std::string& client_id, Instant due) {
  const auto found = orphans_.find(client_id);
  if (found == orphans_.end()) return;
  if (due == Instant::max()) return remove(found);
  by_due_.erase({found->second.due, client_id});
  found->second.due = due;
  by_due_.emplace(due, client_id);
  set_timer();
}

void Orphans::remove(ByClient::iterator one) {
  by_due_.erase({one->second.due, one->first});
  orphans_.erase(one);
}

// -- Settling --

void Orphans::set_timer() {
  std::optional<Instant> due = look_at_;
  if (!by_due_.empty()) due = std::min(due.value_or(Instant::max()), by_due_.begin()->first);
  if (!due) return;
  due = std::max(*due, shard_.now() + kBetweenBatches);
  if (timer_ && *timer_ <= *due) return;
  timer_ = due;
  shard_.timers().add({.due = *due, .kind = TimerKind::Orphans});
}

void Orphans::run_timer() {
  const Instant now = shard_.now();
  if (timer_ && *timer_ <= now) timer_.reset();
  if (look_at_ && *look_at_ <= now) {
    if (looking_ == 0) {
      look();
    } else {
      look_at_ = now + kLookAfter;
    }
  }
  std::vector<std::string> due;
  for (const auto& [at, client_id] : by_due_) {
    if (at > now || due.size() == kBatch) break;
    due.push_back(client_id);
  }
  for (const std::string& client_id : due) {
    const auto orphan = orphans_.find(client_id);
    if (orphan == orphans_.end()) continue;
    const Slot slot = orphan->second.slot;
    put_off(client_id, now + kSettling);
    shard_.session_claims().settle(slot, client_id);
  }
  set_timer();
}

void Orphans::settle(const std::string& client_id, std::uint64_t generation, const std::optional<StoredSession>& stored,
                     std::function<void()> done) {
  const auto found = orphans_.find(client_id);
  if (found == orphans_.end()) return done();
  Orphan& orphan = found->second;
  const bool is_its = stored && stored->owner == orphan.node && stored->generation == orphan.generation;
  if (!is_its || stored->generation < generation) {
    tell(client_id, Orphan(orphan), true);
    remove(found);
    return done();
  }
  orphan.since = since_of(stored->disconnected, orphan.since);
  const auto split = split_will(stored->state);
  if (!split) log::error("a stored will can't be read, leaving it out", {{"client_id", client_id}});
  const auto* will = split && split->will ? &*split->will : nullptr;
  const auto delay = will != nullptr ? std::optional(will->delay) : std::nullopt;
  const Dues dues = dues_of(orphan.since, stored->expiry_interval, delay);
  if (dues.first() > shard_.now()) {
    put_off(client_id, dues.first());
    return done();
  }
  const bool ends = dues.end <= shard_.now();
  if (will == nullptr) return write(client_id, *stored, ends, std::move(done));
  shard_.wills().publish(
      *will, {.user = stored->user, .client_id = client_id},
      [this, client_id, stored = *stored, ends, then = std::move(done)](bool published) {
        if (published) return write(client_id, stored, ends, then);
        put_off(client_id, shard_.now() + kAgain);
        then();
      },
      1);
}

/// What there is of the session once that is done: nothing, or a record without a will.
void Orphans::write(const std::string& client_id, const StoredSession& stored, bool ends, std::function<void()> done) {
  const auto found = orphans_.find(client_id);
  if (found == orphans_.end()) return done();
  const Orphan orphan = found->second;
  const auto away = std::chrono::duration_cast<std::chrono::milliseconds>(shard_.now() - orphan.since).count();
  const std::uint64_t left = shard_.wall().milliseconds - static_cast<std::uint64_t>(std::max<std::int64_t>(away, 0));
  format::RecordBody body = format::SessionEndRecord{.client_id = client_id};
  if (!ends) {
    body = format::SessionRecord{.client_id = client_id,
                                 .user = stored.user,
                                 .expiry_interval = stored.expiry_interval,
                                 .disconnected = {std::max<std::uint64_t>(left, 1)},
                                 .state = without_will(stored.state),
                                 .owner = stored.owner,
                                 .generation = stored.generation};
  }
  const Instant next = ends ? Instant::max() : dues_of(orphan.since, stored.expiry_interval, std::nullopt).end;
  std::function<void(Result<void>)> written = [this, client_id, orphan, ends, next, then = done](Result<void> outcome) {
    if (outcome && ends) {
      shard_.counters().add(Metric::SessionsExpired);
      shard_.session_claims().ended(orphan.slot, client_id, orphan.generation);
    }
    if (outcome) tell(client_id, orphan, ends);
    put_off(client_id, outcome ? next : shard_.now() + kAgain);
    then();
  };
  if (!shard_.appending().append_here(orphan.slot, body, written)) done();
}

}  // namespace parley::shard
