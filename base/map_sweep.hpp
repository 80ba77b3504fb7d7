#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace parley {

/// Goes through an unordered map again and again, a piece at a time, so that a large one keeps nobody waiting. Between
/// the pieces the map may change as it likes: what was there all through a round is visited once, or more often if the
/// map has grown meanwhile; what came in its course may be left for the next one.
class MapSweep {
 public:
  /// Visits about `most` elements, and erases those for which `is_over(element)` is true; it must not change the map
  /// itself. True at the end of a round.
  template <class Map, class IsOver>
  bool step(Map& map, std::size_t most, const IsOver& is_over) {
    if (map.bucket_count() != buckets_) {
      buckets_ = map.bucket_count();
      next_ = 0;
    }
    std::vector<typename Map::const_iterator> over;
    const std::size_t end = std::min(next_ + std::max(most, std::size_t{1}), buckets_);
    for (; next_ < end; ++next_) {
      for (auto one = map.begin(next_); one != map.end(next_); ++one) {
        if (is_over(*one)) over.push_back(map.find(one->first));
      }
    }
    for (const auto& one : over) map.erase(one);
    if (next_ < buckets_) return false;
    next_ = 0;
    return true;
  }

 private:
  std::size_t buckets_ = 0;  ///< That the map had.
  std::size_t next_ = 0;
};

}  // namespace parley
