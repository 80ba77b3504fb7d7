#pragma once

#include <compare>
#include <optional>
#include <span>
#include <vector>

#include "base/number.hpp"

namespace parley::replication {

/// A place in a slot's log together with the term of the entry there. Of two logs the one whose last place is greater
/// is the more up-to-date one: by term, then by index. Raft §5.4.1.
struct LogPosition {
  Term term;
  Index index;
  friend constexpr auto operator<=>(const LogPosition&, const LogPosition&) = default;
};

/// From `first` on, up to the next run or the end, all entries are of `term`.
struct TermRun {
  Term term;
  Index first;
  friend bool operator==(const TermRun&, const TermRun&) = default;
};

/// The terms of a log's entries, which never fall, without the entries: what log matching needs. Raft §5.3.
///
/// Memory: 16 bytes for each change of leadership since the log's beginning. Lookups are logarithmic in those.
class TermHistory {
 public:
  /// `base`: the place before the first entry that is there; {0, 0} when nothing was ever cut off. `runs` ascend in
  /// both fields and begin above the base; nothing is above `last`.
  TermHistory(LogPosition base, std::span<const TermRun> runs, Index last);

  [[nodiscard]] const LogPosition& base() const { return base_; }
  [[nodiscard]] Index last_index() const { return last_; }
  [[nodiscard]] LogPosition last() const { return {runs_.empty() ? base_.term : runs_.back().term, last_}; }
  [[nodiscard]] std::span<const TermRun> runs() const { return runs_; }

  /// Nothing below the base and above the end.
  [[nodiscard]] std::optional<Term> term_at(Index index) const;
  /// The last index up to which all entries have the term of the one at `index`, which is there and above the base.
  [[nodiscard]] Index run_end(Index index) const;
  /// The highest place that isn't above `limit` in index, nor in term: where two logs may still agree. At least base().
  [[nodiscard]] LogPosition agreement(LogPosition limit) const;

  /// Entries after the last one, of a term that isn't below its.
  void append(Term term, Index last);
  /// Forgets everything above `last`, which isn't below the base.
  void truncate_after(Index last);
  /// The log begins after `upto` from now on; `upto` is there, or is the base already.
  void cut(Index upto);

 private:
  [[nodiscard]] std::vector<TermRun>::const_iterator run_of(Index index) const;

  LogPosition base_;
  Index last_;
  std::vector<TermRun> runs_;
};

}  // namespace parley::replication
