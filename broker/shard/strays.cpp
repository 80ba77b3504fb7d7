#include "broker/shard/strays.hpp"

#include <algorithm>
#include <utility>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

using std::chrono::milliseconds;

/// Many slots are complete at about the same time: one walk is for all of them.
constexpr Duration kLookAfter = std::chrono::seconds(1);
constexpr Duration kLookAgain = std::chrono::seconds(2);
constexpr Duration kBetweenBatches = milliseconds(20);
constexpr Duration kTellAgain = std::chrono::seconds(1);
constexpr Duration kTellAgainMax = std::chrono::seconds(60);
/// With more claims than this before a slot is complete, as at a node that has no replica of it, nothing is looked for.
constexpr std::size_t kClaimedMax = 100'000;
constexpr std::uint32_t kNever = 0xFFFF'FFFF;

}  // namespace

void Strays::complete(Slot slot) {
  if (shard_.nodes().standalone()) return;
  slots_.insert(slot);
  if (!look_at_) look_at_ = shard_.now() + kLookAfter;
  set_timer();
}

void Strays::claimed(Slot slot, const std::string& client_id) {
  if (shard_.nodes().standalone() || done_.contains(slot) || claimed_.size() > kClaimedMax) return;
  claimed_.insert(stable_hash(client_id));
}

void Strays::look() {
  look_at_.reset();
  looking_ = shard_.list_sessions({});
}

void Strays::sessions_listed(std::uint64_t token, const Result<SessionList>& listed) {
  if (token != looking_) return;
  looking_ = 0;
  if (!listed) {
    log::error("sessions from before the start can't be read, trying again", {{"error", listed.error().message()}});
    look_at_ = shard_.now() + kLookAgain;
  } else {
    for (const SessionList::One& one : listed->sessions) add(one);
    // Those that are complete since the walk began have another one.
    if (!look_at_) done_.merge(std::exchange(slots_, {}));
  }
  set_timer();
}

void Strays::add(const SessionList::One& one) {
  const Slot slot = slot_of_name(one.client_id, shard_.options());
  if (one.owner != shard_.nodes().self() || !slots_.contains(slot)) return;
  if (claimed_.size() > kClaimedMax || claimed_.contains(stable_hash(one.client_id))) return;
  const Client* client = shard_.clients().find(one.client_id);
  if (client != nullptr && !client->restored) return;
  // One that was restored as it stands in its record has its own timer.
  const bool ends = client != nullptr && (client->will || client->expires_at != Instant::max());
  if (ends && client->generation >= one.generation) return;
  const Timestamp wall = shard_.wall();
  Stray stray{.slot = slot,
              .generation = one.generation,
              .left = one.disconnected.milliseconds != 0 ? std::min(one.disconnected, wall) : wall,
              .end = Instant::max(),
              .due = {}};
  const Instant left = shard_.now() - milliseconds(wall.milliseconds - stray.left.milliseconds);
  if (one.expiry_interval != kNever) stray.end = left + std::chrono::seconds(one.expiry_interval);
  stray.due = stray.end;
  if (one.will_delay) stray.due = std::min(stray.due, left + std::chrono::seconds(*one.will_delay));
  strays_[one.client_id] = stray;
}

void Strays::settled(const remote::Settled& event) {
  const auto found = strays_.find(std::string(event.client_id));
  if (found == strays_.end() || found->second.generation != event.generation) return;
  Stray& stray = found->second;
  if (event.ended || stray.end == Instant::max()) {
    strays_.erase(found);
    return;
  }
  stray.again = {};
  stray.due = stray.end;
  if (!timer_ || stray.due < *timer_) set_timer();
}

bool Strays::tell(const std::string& client_id, Stray& stray) {
  const Client* client = shard_.clients().find(client_id);
  if (client != nullptr && !client->restored) return false;
  stray.again = std::clamp(2 * stray.again, kTellAgain, kTellAgainMax);
  stray.due = shard_.now() + stray.again;
  const bool comes_back = client != nullptr && client->opening.generation != 0;
  return comes_back || shard_.session_claims().tell_left(client_id, stray.generation, stray.left);
}

void Strays::run_timer() {
  const Instant now = shard_.now();
  if (timer_ && *timer_ <= now) timer_.reset();
  if (look_at_ && *look_at_ <= now) {
    if (looking_ == 0) {
      look();
    } else {
      look_at_ = now + kLookAfter;
    }
  }
  for (auto one = strays_.begin(); one != strays_.end();) {
    const bool over = one->second.due <= now && !tell(one->first, one->second);
    one = over ? strays_.erase(one) : std::next(one);
  }
  set_timer();
}

void Strays::set_timer() {
  std::optional<Instant> due = look_at_;
  for (const auto& [client_id, stray] : strays_) due = std::min(due.value_or(Instant::max()), stray.due);
  if (!due) return;
  due = std::max(*due, shard_.now() + kBetweenBatches);
  if (timer_ && *timer_ <= *due) return;
  timer_ = due;
  shard_.timers().add({.due = *due, .kind = TimerKind::Strays});
}

}  // namespace parley::shard
