#include "broker/shard/leader_wait.hpp"

#include <utility>

#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

constexpr Duration kLookAgain = std::chrono::milliseconds(100);

std::size_t size_of(const ProposeEvent& proposal) {
  return sizeof(ProposeEvent) + proposal.payload.size() + proposal.properties.size();
}

}  // namespace

LeaderWait::Waiting* LeaderWait::room(Slot slot, std::size_t bytes) {
  if (bytes_ + bytes > shard_.options().pending_bytes_max) return nullptr;
  const auto [found, added] = slots_.try_emplace(slot);
  if (added) {
    found->second.since = shard_.now();
    shard_.timers().add({.due = shard_.now() + kLookAgain,
                         .kind = TimerKind::LeaderWait,
                         .client = static_cast<std::uint32_t>(slot.value)});
  }
  bytes_ += bytes;
  found->second.bytes += bytes;
  return &found->second;
}

void LeaderWait::propose(Slot slot, ProposeEvent proposal) {
  if (Waiting* waiting = room(slot, size_of(proposal))) {
    waiting->items.emplace_back(std::move(proposal));
  } else {
    shard_.send_outcome(proposal.origin, {.refusal = chat::Refusal::Busy});
  }
}

void LeaderWait::follow(Slot slot, std::string conversation, ShardId follower) {
  FollowEvent follow{.conversation = std::move(conversation), .shard = follower};
  if (Waiting* waiting = room(slot, sizeof(FollowEvent))) {
    waiting->items.emplace_back(std::move(follow));
  } else {
    refuse(Item(std::move(follow)), chat::Refusal::Busy);
  }
}

void LeaderWait::follow_again(Slot slot, std::string conversation, ShardId follower) {
  followers_[slot].push_back({.conversation = std::move(conversation), .shard = follower});
}

void LeaderWait::unfollow(Slot slot, const std::string& conversation, ShardId follower) {
  const auto same = [&](const FollowEvent& follow) {
    return follow.shard == follower && follow.conversation == conversation;
  };
  if (const auto found = followers_.find(slot); found != followers_.end()) {
    std::erase_if(found->second, same);
    if (found->second.empty()) followers_.erase(found);
  }
  const auto found = slots_.find(slot);
  if (found == slots_.end()) return;
  std::erase_if(found->second.items, [&](const Item& item) {
    const auto* follow = std::get_if<FollowEvent>(&item);
    return follow != nullptr && same(*follow);
  });
}

void LeaderWait::append(Slot slot, std::string record, Done done) {
  if (Waiting* waiting = room(slot, record.size())) {
    waiting->items.emplace_back(Record{std::move(record), std::move(done)});
  } else if (done) {
    done(chat::Refusal::Busy);
  }
}

void LeaderWait::leadership_changed(Slot slot, const Leadership& leadership) {
  if (leadership.state == Leadership::State::Here) {
    if (const auto found = followers_.find(slot); found != followers_.end()) {
      const auto followers = std::move(found->second);
      followers_.erase(found);
      for (const FollowEvent& follow : followers) shard_.hosting().follow(follow.conversation, follow.shard);
    }
    hand_over(slot);
  } else if (leadership.state == Leadership::State::Elsewhere) {
    refuse(slot, chat::Refusal::NoMajority);
  }
}

void LeaderWait::run_timer(Slot slot) {
  const auto found = slots_.find(slot);
  if (found == slots_.end()) return;
  if (shard_.replicas().leadership(slot).state == Leadership::State::Here) {
    hand_over(slot);
  } else if (found->second.since + shard_.options().leader_wait <= shard_.now()) {
    const auto error = shard_.replicas().disk_error();
    refuse(slot, error ? error : make_error_code(chat::Refusal::NoMajority));
  } else {
    shard_.timers().add({.due = shard_.now() + kLookAgain,
                         .kind = TimerKind::LeaderWait,
                         .client = static_cast<std::uint32_t>(slot.value)});
  }
}

void LeaderWait::hand_over(Slot slot) {
  const auto found = slots_.find(slot);
  if (found == slots_.end()) return;
  Waiting waiting = std::move(found->second);
  bytes_ -= waiting.bytes;
  slots_.erase(found);
  for (Item& item : waiting.items) {
    if (auto* proposal = std::get_if<ProposeEvent>(&item)) {
      shard_.hosting().propose(std::move(*proposal));
    } else if (const auto* follow = std::get_if<FollowEvent>(&item)) {
      shard_.hosting().follow(follow->conversation, follow->shard);
    } else {
      auto& record = std::get<Record>(item);
      const auto decoded = format::decode_trusted_record(record.bytes);
      shard_.append(slot, decoded->body, std::move(record.done));
    }
  }
}

void LeaderWait::refuse(Slot slot, boost::system::error_code why) {
  const auto found = slots_.find(slot);
  if (found == slots_.end()) return;
  const Waiting waiting = std::move(found->second);
  bytes_ -= waiting.bytes;
  slots_.erase(found);
  for (const Item& item : waiting.items) refuse(item, why);
}

void LeaderWait::refuse(const Item& item, boost::system::error_code why) {
  if (const auto* proposal = std::get_if<ProposeEvent>(&item)) {
    shard_.send_outcome(proposal->origin, {.refusal = refusal_of(why)});
  } else if (const auto* follow = std::get_if<FollowEvent>(&item)) {
    shard_.send(follow->shard,
                PeerEvent{FollowedEvent{.conversation = follow->conversation, .refusal = refusal_of(why)}});
  } else if (const auto& record = std::get<Record>(item); record.done) {
    record.done(why);
  }
}

}  // namespace parley::shard
