#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "clients/bench/broker.hpp"
#include "clients/bench/cases.hpp"
#include "clients/bench/options.hpp"
#include "clients/bench/report.hpp"

/// Parley beside mosquitto: the same load on the same machine, in turn.
namespace parley::bench {

/// Every run of one case.
struct CaseResult {
  Case measured;
  std::vector<Report> parley;
  std::vector<Report> mosquitto;
  std::vector<std::string> failures;  ///< Runs that gave no figures, as sentences.

  /// Medians over the runs without problems.
  [[nodiscard]] Outcome outcome_of(std::string_view figure) const;
};

struct Comparison {
  std::vector<std::pair<std::string, std::string>> conditions;  ///< Cores, rounds, where the data lay.
  std::vector<CaseResult> results;
};

/// Runs the cases: each broker fresh for each run, alone on one core, the load on another (`load_core`, else the second
/// usable one), Parley and mosquitto alternating. Says on `progress` what it is doing. A run that fails is noted and
/// the next one made; throws Failure when nothing can be compared at all.
Comparison compare(const CompareOptions& options, std::optional<int> load_core, std::ostream& progress);

/// A table of goals with verdicts, one of rates and loads, and what went wrong.
std::string to_text(const Comparison& comparison);
std::string to_json(const Comparison& comparison);
/// 0; 1 when a run failed or a goal has no figure, and with `strict` when one is missed.
int exit_code_of(const Comparison& comparison, bool strict);

}  // namespace parley::bench
