#include "broker/chat/share_group.hpp"

#include <algorithm>
#include <iterator>

namespace parley::chat {
namespace {

Seq before(Seq seq) { return {seq.value - 1}; }

}  // namespace

void ShareGroup::add(MemberId id, std::size_t window, Seq from, std::span<const Seq> held, Seq head) {
  Member& member = members_[id];
  member = {.window = window, .from = from, .has = 0};
  for (const Seq seq : held) {
    if (member.has >= window || seq > head) break;
    if (seq >= next_) {
      if (open() >= kOpenMax) break;
      if (next_ < seq) add_waiting(next_, before(seq));
      next_ = seq.next();
    } else if (!take_waiting(seq)) {
      continue;
    }
    give(id, member, seq);
  }
}

void ShareGroup::remove(MemberId id) {
  if (members_.erase(id) != 0) give_back(id);
}

void ShareGroup::pause(MemberId id) {
  const auto found = members_.find(id);
  if (found == members_.end()) return;
  found->second.window = found->second.has = 0;
  give_back(id);
}

void ShareGroup::go_on(MemberId id, std::size_t window) {
  if (const auto found = members_.find(id); found != members_.end()) found->second.window = window;
}

void ShareGroup::give(MemberId id, Member& member, Seq seq) {
  open_[seq] = id;
  ++member.has;
}

void ShareGroup::give_back(MemberId id) {
  std::erase_if(open_, [&](const auto& one) {
    if (one.second != id) return false;
    add_waiting(one.first, one.first);
    return true;
  });
}

void ShareGroup::acknowledged(MemberId id, Seq seq) {
  const auto member = members_.find(id);
  if (member == members_.end()) return;
  const auto found = open_.find(seq);
  if (found == open_.end()) {
    // Given back while it couldn't be reached.
    take_waiting(seq);
  } else if (found->second == id) {
    open_.erase(found);
    --member->second.has;
  }
}

void ShareGroup::begin_at(Seq oldest) {
  while (!waiting_.empty() && waiting_.begin()->first < oldest) {
    const Seq last = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    if (last >= oldest) waiting_.emplace(oldest, last);
  }
  next_ = std::max(next_, oldest);
}

Seq ShareGroup::next_for(const Member& member, Seq head) {
  if (member.has >= member.window || open_.size() >= kOpenMax) return {};
  if (const Seq waits = first_waiting(member.from); waits != Seq{}) return waits;
  if (next_ > head || member.from > head || open() >= kOpenMax) return {};
  if (next_ < member.from) {
    // Others may have it.
    add_waiting(next_, before(member.from));
    next_ = member.from;
  }
  return next_;
}

void ShareGroup::hand_out(Seq head, std::vector<Grant>& grants) {
  std::size_t in_vain = 0;
  while (in_vain < members_.size() && (!waiting_.empty() || next_ <= head)) {
    auto turn = members_.upper_bound(last_);
    if (turn == members_.end()) turn = members_.begin();
    auto& [id, member] = *turn;
    last_ = id;
    const Seq seq = next_for(member, head);
    if (seq == Seq{}) {
      ++in_vain;
      continue;
    }
    in_vain = 0;
    if (seq == next_) {
      next_ = next_.next();
    } else {
      take_waiting(seq);
    }
    give(id, member, seq);
    grants.push_back({id, seq});
  }
}

Seq ShareGroup::cursor() const {
  Seq first = next_;
  if (!open_.empty()) first = std::min(first, open_.begin()->first);
  if (!waiting_.empty()) first = std::min(first, waiting_.begin()->first);
  return before(first);
}

// -- What waits for somebody --

Seq ShareGroup::first_waiting(Seq from) const {
  const auto behind = waiting_.upper_bound(from);
  if (behind != waiting_.begin() && std::prev(behind)->second >= from) return from;
  return behind == waiting_.end() ? Seq{} : behind->first;
}

/// None of them waits already.
void ShareGroup::add_waiting(Seq first, Seq last) {
  auto behind = waiting_.lower_bound(first);
  if (behind != waiting_.end() && behind->first == last.next()) {
    last = behind->second;
    behind = waiting_.erase(behind);
  }
  if (behind != waiting_.begin() && std::prev(behind)->second.next() == first) {
    std::prev(behind)->second = last;
  } else {
    waiting_.emplace_hint(behind, first, last);
  }
}

bool ShareGroup::take_waiting(Seq seq) {
  const auto behind = waiting_.upper_bound(seq);
  if (behind == waiting_.begin() || std::prev(behind)->second < seq) return false;
  const auto [first, last] = *std::prev(behind);
  waiting_.erase(std::prev(behind));
  if (first < seq) waiting_.emplace(first, before(seq));
  if (seq < last) waiting_.emplace(seq.next(), last);
  return true;
}

}  // namespace parley::chat
