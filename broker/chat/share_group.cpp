#include "broker/chat/share_group.hpp"

#include <algorithm>

namespace parley::chat {

void ShareGroup::add(MemberId id, std::size_t window, Seq from, std::span<const Seq> held, Seq head) {
  Member& member = members_[id];
  member = {.window = window, .from = from, .has = 0};
  for (const Seq seq : held) {
    if (member.has >= window || seq > head) break;
    if (seq >= next_) {
      if (open() + (seq.value - next_.value) >= kOpenMax) break;
      for (; next_ < seq; next_ = next_.next()) back_.insert(back_.end(), next_);
      next_ = seq.next();
    } else if (back_.erase(seq) == 0) {
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
    back_.insert(one.first);
    return true;
  });
}

void ShareGroup::acknowledged(MemberId id, Seq seq) {
  const auto member = members_.find(id);
  if (member == members_.end()) return;
  const auto found = open_.find(seq);
  if (found == open_.end()) {
    // Given back while it couldn't be reached.
    back_.erase(seq);
  } else if (found->second == id) {
    open_.erase(found);
    --member->second.has;
  }
}

void ShareGroup::begin_at(Seq oldest) {
  back_.erase(back_.begin(), back_.lower_bound(oldest));
  next_ = std::max(next_, oldest);
}

Seq ShareGroup::next_for(const Member& member, Seq head) {
  if (member.has >= member.window || open_.size() >= kOpenMax) return {};
  if (const auto given_back = back_.lower_bound(member.from); given_back != back_.end()) return *given_back;
  if (next_ > head || member.from > head) return {};
  if (next_ < member.from) {
    // Others may have it.
    if (back_.size() + (member.from.value - next_.value) > kOpenMax) return {};
    for (; next_ < member.from; next_ = next_.next()) back_.insert(back_.end(), next_);
  }
  return next_;
}

void ShareGroup::hand_out(Seq head, std::vector<Grant>& grants) {
  std::size_t in_vain = 0;
  while (in_vain < members_.size() && (!back_.empty() || next_ <= head)) {
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
      back_.erase(seq);
    }
    give(id, member, seq);
    grants.push_back({id, seq});
  }
}

Seq ShareGroup::cursor() const {
  Seq first = next_;
  if (!open_.empty()) first = std::min(first, open_.begin()->first);
  if (!back_.empty()) first = std::min(first, *back_.begin());
  return {first.value - 1};
}

}  // namespace parley::chat
