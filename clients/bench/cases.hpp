#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "clients/bench/options.hpp"
#include "clients/bench/report.hpp"

/// What `compare` measures and what Parley wants to reach. Pure.
namespace parley::bench {

enum class Rule : std::uint8_t {
  ShareAtMost,  ///< Parley's figure divided by mosquitto's.
  ShareAtLeast,
  ValueAtMost,  ///< Parley's figure alone; mosquitto's is shown beside it.
  ValueAtLeast,
  Shown,  ///< No target.
};

struct Goal {
  std::string figure;  ///< Its name in a Report.
  Rule rule = Rule::Shown;
  double target = 0;
};

/// What one broker is given.
struct CaseSide {
  RunOptions run;
  std::vector<std::string> settings;  ///< See BrokerSetup.
};

struct Case {
  std::string name;
  std::string meaning;
  CaseSide parley;
  CaseSide mosquitto;
  std::vector<Goal> goals;
  bool once = false;  ///< Takes too long to be repeated.
};

/// All cases, or those of `options.only`. Throws Failure when it names one that isn't there.
std::vector<Case> cases_of(const CompareOptions& options);

enum class Verdict : std::uint8_t { Met, Missed, Unmeasured, None };
std::string name_of(Verdict verdict);

/// Medians of both brokers; nothing where no round could be measured.
struct Outcome {
  std::optional<double> parley;
  std::optional<double> mosquitto;

  [[nodiscard]] std::optional<double> share() const;
};
Verdict judge(const Goal& goal, const Outcome& outcome);

/// The middle one, or the mean of the middle two; nothing of nothing.
std::optional<double> median(std::vector<double> values);

}  // namespace parley::bench
