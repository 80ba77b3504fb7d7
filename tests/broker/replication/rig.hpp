#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

#include "broker/replication/slot.hpp"

namespace parley::replication {

using std::chrono::milliseconds;

inline NodeId node(std::uint64_t id) { return {id}; }
inline LogPosition at(std::uint64_t term, std::uint64_t index) { return {{term}, {index}}; }

/// A log with entries of these terms, as the paper's figures draw it, all durable, of voters 1 … `voters`.
inline SlotState log_of(std::initializer_list<std::uint64_t> terms, std::uint64_t term, std::uint64_t voters = 3) {
  SlotState state{.hard = {.term = {term}}, .last = {terms.size()}};
  std::uint64_t index = 0;
  for (const std::uint64_t entry : terms) {
    ++index;
    if (state.terms.empty() || state.terms.back().term.value != entry) state.terms.push_back({{entry}, {index}});
  }
  for (std::uint64_t id = 1; id <= voters; ++id) state.replicas.set.voters.push_back({id});
  return state;
}

/// Node 1's slot, and what it asked for last. Time stands still unless a test moves it.
struct Rig {
  explicit Rig(const SlotState& state, std::uint64_t self = 1) : slot({7}, node(self), options, state, 42, now) {}

  void receive(std::uint64_t from, std::uint64_t term, PeerMessage::Body body) {
    actions.clear();
    slot.receive(node(from), {.slot = {7}, .term = {term}, .body = std::move(body)}, now, actions);
  }
  void tick_at_deadline() {
    now = slot.deadline();
    actions.clear();
    slot.tick(now, actions);
  }
  void reach(std::initializer_list<std::uint64_t> nodes) {
    actions.clear();
    for (const std::uint64_t id : nodes) slot.peer_reachable(node(id), now, actions);
  }
  void lose(std::uint64_t id) {
    actions.clear();
    slot.peer_unreachable(node(id), now, actions);
  }
  /// The disk does what it was asked for.
  void sync_hard_state() {
    const auto* hard = action<PersistHardState>();
    const HardState state = hard != nullptr ? hard->state : HardState{slot.term(), {}};
    actions.clear();
    slot.hard_state_synced(state, now, actions);
  }
  void sync() {
    actions.clear();
    slot.synced(slot.generation(), slot.last().index, now, actions);
  }
  /// Wins the next term, with the votes of these.
  void lead(std::initializer_list<std::uint64_t> voters) {
    tick_at_deadline();
    for (const std::uint64_t id : voters) {
      if (slot.role() == Role::PreCandidate) receive(id, slot.term().value, PreVoteReply{.granted = true});
    }
    sync_hard_state();
    for (const std::uint64_t id : voters) {
      if (slot.role() == Role::Candidate) receive(id, slot.term().value, RequestVoteReply{.granted = true});
    }
  }
  void acknowledge(std::uint64_t from, std::uint64_t match, std::uint64_t commit = 0) {
    receive(from, slot.term().value,
            AppendEntriesReply{.success = true, .match = {match}, .received = {match}, .commit = {commit}});
  }

  /// The last action of that type; null when there is none.
  template <class T>
  [[nodiscard]] const T* action() const {
    const T* found = nullptr;
    for (const Action& action : actions) {
      if (const auto* one = std::get_if<T>(&action)) found = one;
    }
    return found;
  }
  /// The last message of that type to `to`, without or with records; null when there is none.
  template <class Body>
  [[nodiscard]] const Body* sent(std::uint64_t to) const {
    const Body* found = nullptr;
    for (const Action& action : actions) {
      const auto* send = std::get_if<Send>(&action);
      if (send != nullptr && send->to == node(to)) {
        if (const auto* body = std::get_if<Body>(&send->message.body)) found = body;
      }
      if constexpr (std::is_same_v<Body, AppendEntries>) {
        const auto* append = std::get_if<SendAppend>(&action);
        if (append != nullptr && append->to == node(to)) found = &append->message;
      }
    }
    return found;
  }

  Options options;
  Instant now{std::chrono::hours(1)};
  Slot slot;
  Actions actions;
};

}  // namespace parley::replication
