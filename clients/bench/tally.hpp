#pragma once

#include <cstdint>
#include <vector>

/// Whether one receiver got one stream completely, once and in order.
namespace parley::bench {

/// Belongs to one thread. Constant memory while nothing is missing; at most kHolesMax holes are remembered, so that a
/// latecomer can be told from a duplicate.
class Tally {
 public:
  static constexpr std::size_t kHolesMax = 1024;

  /// Takes note of `sequence`. True when the receiver has come further than before.
  bool accept(std::uint64_t sequence) {
    ++received_;
    if (sequence == next_) [[likely]] {
      ++next_;
      return true;
    }
    return accept_unexpected(sequence);
  }

  /// Everything below `sequence` counts as missing if it hasn't come by now.
  void skip_to(std::uint64_t sequence);

  [[nodiscard]] std::uint64_t next() const { return next_; }  ///< One more than the highest sequence seen.
  [[nodiscard]] std::uint64_t received() const { return received_; }
  [[nodiscard]] std::uint64_t missing() const { return missing_; }  ///< Below next(), not seen so far.
  [[nodiscard]] std::uint64_t duplicated() const { return duplicated_; }
  [[nodiscard]] std::uint64_t reordered() const { return reordered_; }  ///< Came after a later one.

 private:
  struct Hole {
    std::uint64_t first;
    std::uint64_t end;
  };
  bool accept_unexpected(std::uint64_t sequence);

  std::uint64_t next_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t missing_ = 0;
  std::uint64_t duplicated_ = 0;
  std::uint64_t reordered_ = 0;
  std::vector<Hole> holes_;
};

}  // namespace parley::bench
