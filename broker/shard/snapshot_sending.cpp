#include "broker/shard/snapshot_sending.hpp"

#include <algorithm>

namespace parley::shard {

std::optional<Instant> SnapshotSending::next_due() const {
  std::optional<Instant> due;
  for (const auto& [who, at] : offers_) due = std::min(due.value_or(at), at);
  return due;
}

std::vector<std::pair<Slot, NodeId>> SnapshotSending::due(Instant now) const {
  std::vector<std::pair<Slot, NodeId>> list;
  for (const auto& [who, at] : offers_) {
    if (at <= now) list.push_back(who);
  }
  return list;
}

void SnapshotSending::offer(Slot slot, NodeId to, Term term, Instant now) {
  offers_[{slot, to}] = now + kOfferAgain;
  nodes_.send(to, NodeChannel::Snapshots, remote::encode_for(slot, remote::SnapshotOffer{.slot = slot, .term = term}));
}

void SnapshotSending::read(NodeId from, const remote::SnapshotRead& request) {
  const std::uint64_t token = next_token_++;
  reads_.emplace(token, Asked{.node = from, .slot = request.slot, .token = request.token});
  store_.read_snapshot(shard_, {.token = token,
                                .slot = request.slot,
                                .slots = options_.slots,
                                .position = std::string(request.position),
                                .known = std::string(request.known),
                                .bytes_max = remote::kRecordsBytesMax});
}

void SnapshotSending::refuse(NodeId from, const remote::SnapshotRead& request) {
  answer(from, {.slot = request.slot, .token = request.token, .status = remote::Status::NotLeader});
}

std::optional<SnapshotSending::Asked> SnapshotSending::take(std::uint64_t token) {
  const auto found = reads_.find(token);
  if (found == reads_.end()) return std::nullopt;
  const Asked asked = found->second;
  reads_.erase(found);
  return asked;
}

void SnapshotSending::answer(NodeId to, const remote::SnapshotPage& page) {
  nodes_.send(to, NodeChannel::Snapshots, remote::encode_for(page.slot, page));
}

}  // namespace parley::shard
