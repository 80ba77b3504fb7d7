#include "broker/replication/term_history.hpp"

#include <algorithm>
#include <iterator>

#include "base/check.hpp"

namespace parley::replication {

TermHistory::TermHistory(LogPosition base, std::span<const TermRun> runs, Index last)
    : base_(base), last_(last), runs_(runs.begin(), runs.end()) {
  PARLEY_CHECK(last >= base.index, "a slot's log ends before it begins");
  PARLEY_CHECK((last == base.index) == runs_.empty(), "a slot's terms don't cover its log");
  TermRun before{.term = base.term, .first = base.index};
  for (const TermRun& run : runs_) {
    PARLEY_CHECK(run.first > before.first && run.term >= before.term && run.first <= last,
                 "a slot's terms fall or overlap");
    before = run;
  }
  PARLEY_CHECK(runs_.empty() || runs_.front().first == base.index.next(), "a slot's terms don't cover its log");
}

std::vector<TermRun>::const_iterator TermHistory::run_of(Index index) const {
  return std::prev(std::ranges::upper_bound(runs_, index, {}, &TermRun::first));
}

std::optional<Term> TermHistory::term_at(Index index) const {
  if (index == base_.index) return base_.term;
  if (index < base_.index || index > last_) return std::nullopt;
  return run_of(index)->term;
}

Index TermHistory::run_end(Index index) const {
  const auto after = std::ranges::upper_bound(runs_, index, {}, &TermRun::first);
  return after == runs_.end() ? last_ : Index{after->first.value - 1};
}

LogPosition TermHistory::agreement(LogPosition limit) const {
  Index index = std::min(limit.index, last_);
  if (index <= base_.index) return base_;
  auto run = run_of(index);
  while (run->term > limit.term) {
    if (run == runs_.begin()) return base_;
    index = {run->first.value - 1};
    --run;
  }
  return {run->term, index};
}

void TermHistory::append(Term term, Index last) {
  PARLEY_CHECK(last > last_, "nothing to append");
  PARLEY_CHECK(term >= this->last().term, "an entry's term is below that of the entry before it");
  if (runs_.empty() || runs_.back().term != term) runs_.push_back({term, last_.next()});
  last_ = last;
}

void TermHistory::truncate_after(Index last) {
  PARLEY_CHECK(last >= base_.index, "a slot's log is truncated before its beginning");
  if (last >= last_) return;
  while (!runs_.empty() && runs_.back().first > last) runs_.pop_back();
  last_ = last;
}

void TermHistory::cut(Index upto) {
  if (upto <= base_.index) return;
  const auto term = term_at(upto);
  PARLEY_CHECK(term.has_value(), "a slot's log is cut behind its end");
  base_ = {*term, upto};
  if (upto == last_) {
    runs_.clear();
    return;
  }
  runs_.erase(runs_.begin(), run_of(upto.next()));
  runs_.front().first = upto.next();
}

}  // namespace parley::replication
