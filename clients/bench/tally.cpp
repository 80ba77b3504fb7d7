#include "clients/bench/tally.hpp"

#include <algorithm>

namespace parley::bench {

void Tally::skip_to(std::uint64_t sequence) {
  if (sequence <= next_) return;
  missing_ += sequence - next_;
  if (holes_.size() < kHolesMax) holes_.push_back({next_, sequence});
  next_ = sequence;
}

bool Tally::accept_unexpected(std::uint64_t sequence) {
  if (sequence > next_) {
    skip_to(sequence);
    ++next_;
    return true;
  }
  const auto hole = std::ranges::find_if(
      holes_, [sequence](const Hole& each) { return each.first <= sequence && sequence < each.end; });
  if (hole == holes_.end()) {
    ++duplicated_;
    return false;
  }
  ++reordered_;
  --missing_;
  const Hole before{hole->first, sequence};
  const Hole after{sequence + 1, hole->end};
  holes_.erase(hole);
  if (before.first < before.end) holes_.push_back(before);
  if (after.first < after.end) holes_.push_back(after);
  return false;
}

}  // namespace parley::bench
