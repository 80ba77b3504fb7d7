#include "broker/shard/snapshot_taking.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"

namespace parley::shard {
namespace {

/// A leader that doesn't answer is asked again, so often; then its next offer is waited for.
constexpr Duration kAskAgain = std::chrono::seconds(3);
constexpr unsigned kAsksMax = 4;

}  // namespace

// -- From the leader

void SnapshotTaking::offered(NodeId from, const remote::SnapshotOffer& offer, Instant now) {
  const auto found = transfers_.find(offer.slot);
  if (found != transfers_.end()) {
    const Transfer& transfer = found->second;
    const bool same = transfer.leader == from && transfer.term == offer.term;
    if (same || offer.term < transfer.term || transfer.step >= Step::Complete) return;
    transfers_.erase(found);
  }
  Offer& waiting = offers_[offer.slot];
  if (offer.term >= waiting.term) waiting = {.leader = from, .term = offer.term};
  begin_some(now);
}

void SnapshotTaking::begin_some(Instant now) {
  while (transfers_.size() < kTransfersMax && !offers_.empty()) {
    const auto [slot, offer] = *offers_.begin();
    offers_.erase(offers_.begin());
    log::debug("a replica is behind the log, taking the slot's history", {{"slot", slot}, {"node", offer.leader}});
    Transfer& transfer = transfers_[slot];
    transfer.leader = offer.leader;
    transfer.term = offer.term;
    take(slot, transfer, {});
  }
  if (!transfers_.empty() || brought_up_ == 0) return;
  log::info("replicas that were behind the log have been brought up", {{"slots", std::exchange(brought_up_, 0)}});
  paid_until_ = now;
}

void SnapshotTaking::ask(Slot slot, Transfer& transfer, Instant now) {
  if (now < paid_until_) {
    transfer.step = Step::Waiting;
    transfer.again_at = paid_until_;
    return;
  }
  transfer.step = Step::Asked;
  transfer.token = next_token_++;
  transfer.again_at = now + kAskAgain;
  ++transfer.asked;
  const remote::SnapshotRead read{
      .slot = slot, .token = transfer.token, .position = transfer.position, .known = transfer.known};
  // One that isn't taken is asked again like one that is lost.
  nodes_.send(transfer.leader, NodeChannel::Snapshots, remote::encode_for(slot, read));
}

void SnapshotTaking::page(NodeId from, const remote::SnapshotPage& page, Instant now) {
  const auto found = transfers_.find(page.slot);
  if (found == transfers_.end()) return;
  Transfer& transfer = found->second;
  if (transfer.step != Step::Asked || transfer.token != page.token || transfer.leader != from) return;
  if (page.status != remote::Status::Done) return drop(page.slot, now);
  pay(page.bytes.size(), now);
  transfer.asked = 0;
  if (!std::exchange(transfer.placed, true)) {
    transfer.at = {.term = page.term, .index = page.index};
    transfer.replicas = {.index = page.named,
                         .set = {.voters = format::nodes_of(page.voters), .learners = format::nodes_of(page.learners)}};
  }
  transfer.position = page.next;
  transfer.last = page.next.empty();
  take(page.slot, transfer, page.bytes);
}

/// Bytes of all transfers together use up the rate.
void SnapshotTaking::pay(std::size_t bytes, Instant now) {
  if (options_.snapshot_bytes_per_second == 0) return;
  const auto rate = static_cast<double>(options_.snapshot_bytes_per_second);
  const std::chrono::duration<double> cost(static_cast<double>(bytes) / rate);
  paid_until_ = std::max(paid_until_, now) + std::chrono::duration_cast<Duration>(cost);
}

void SnapshotTaking::node_unreachable(NodeId node, Instant now) {
  std::erase_if(offers_, [node](const auto& one) { return one.second.leader == node; });
  std::erase_if(transfers_,
                [node](const auto& one) { return one.second.leader == node && one.second.step < Step::Complete; });
  begin_some(now);
}

// -- From the store

void SnapshotTaking::take(Slot slot, Transfer& transfer, std::string_view piece) {
  transfer.step = Step::Taking;
  transfer.again_at = Instant::max();
  transfer.token = next_token_++;
  store_.take_snapshot(shard_, {.token = transfer.token,
                                .slot = slot,
                                .slots = options_.slots,
                                .piece = std::string(piece),
                                .next = transfer.position});
}

void SnapshotTaking::taken(std::uint64_t token, const Result<std::string>& known, Instant now) {
  const auto found = std::ranges::find_if(
      transfers_, [token](const auto& one) { return one.second.step == Step::Taking && one.second.token == token; });
  if (found == transfers_.end()) return;
  auto& [slot, transfer] = *found;
  if (!known) {
    if (!std::exchange(failing_, true)) {
      log::error("a slot's history can't be taken in, trying again each time it is offered",
                 {{"slot", slot}, {"node", transfer.leader}, {"error", known.error().message()}});
    }
    return drop(slot, now);
  }
  failing_ = false;
  if (transfer.last) {
    transfer.step = Step::Complete;
    return;
  }
  transfer.known = *known;
  ask(slot, transfer, now);
}

std::optional<SnapshotTaking::Finished> SnapshotTaking::finished(std::uint64_t token, Instant now) {
  const auto found = std::ranges::find_if(
      transfers_, [token](const auto& one) { return one.second.step == Step::Finishing && one.second.token == token; });
  if (found == transfers_.end()) return std::nullopt;
  const auto& [slot, transfer] = *found;
  Finished done{.slot = slot, .leader = transfer.leader, .at = transfer.at, .replicas = transfer.replicas};
  ++brought_up_;
  drop(slot, now);
  return done;
}

// -- Time

void SnapshotTaking::tick(Instant now) {
  std::vector<Slot> silent;
  for (auto& [slot, transfer] : transfers_) {
    if (transfer.again_at > now) continue;
    if (transfer.step == Step::Asked && transfer.asked >= kAsksMax) {
      silent.push_back(slot);
    } else {
      ask(slot, transfer, now);
    }
  }
  for (const Slot slot : silent) drop(slot, now);
}

std::optional<Instant> SnapshotTaking::next_due() const {
  std::optional<Instant> due;
  for (const auto& [slot, transfer] : transfers_) {
    if (transfer.again_at != Instant::max()) due = std::min(due.value_or(transfer.again_at), transfer.again_at);
  }
  return due;
}

// -- The last step

std::vector<SnapshotTaking::Finished> SnapshotTaking::complete() const {
  std::vector<Finished> list;
  for (const auto& [slot, transfer] : transfers_) {
    if (transfer.step != Step::Complete) continue;
    list.push_back({.slot = slot, .leader = transfer.leader, .at = transfer.at, .replicas = transfer.replicas});
  }
  return list;
}

void SnapshotTaking::finish(Slot slot) {
  Transfer& transfer = transfers_.at(slot);
  transfer.step = Step::Finishing;
  transfer.token = next_token_++;
  store_.finish_snapshot(shard_, {.token = transfer.token,
                                  .slot = slot,
                                  .base = {.term = transfer.at.term, .index = transfer.at.index},
                                  .replicas = {.index = transfer.replicas.index,
                                               .voters = transfer.replicas.set.voters,
                                               .learners = transfer.replicas.set.learners}});
}

void SnapshotTaking::drop(Slot slot, Instant now) {
  transfers_.erase(slot);
  begin_some(now);
}

bool SnapshotTaking::closed(Slot slot) const {
  const auto found = transfers_.find(slot);
  return found != transfers_.end() && found->second.step == Step::Finishing;
}

}  // namespace parley::shard
