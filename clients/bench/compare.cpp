#include "clients/bench/compare.hpp"

#include <sys/vfs.h>

#include <algorithm>
#include <filesystem>
#include <ostream>

#include "clients/bench/failure.hpp"
#include "clients/bench/scenarios.hpp"

namespace parley::bench {
namespace {

struct Cores {
  int broker;
  int load;
};

Cores choose_cores(std::optional<int> load_core) {
  const std::vector<int> usable = usable_cores();
  if (usable.size() < 2) throw Failure("compare needs two processors: one for the broker and one for the load");
  const int load = load_core.value_or(usable[1]);
  return {.broker = usable[0] == load ? usable[1] : usable[0], .load = load};
}

std::string parleyd_beside_us() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "parleyd" : (self.parent_path() / "parleyd").string();
}

/// Where a sync costs nothing, Parley would look better than it is.
bool is_in_memory(const std::string& directory) {
  constexpr long kTmpfs = 0x0102'1994;
  struct statfs info {};
  return ::statfs(directory.c_str(), &info) == 0 && info.f_type == kTmpfs;
}

std::vector<std::pair<std::string, std::string>> conditions_of(const CompareOptions& options, const Cores& cores) {
  const std::string root =
      options.data_root.empty() ? std::filesystem::temp_directory_path().string() : options.data_root;
  return {{"broker's core", std::to_string(cores.broker)},
          {"load's core", std::to_string(cores.load)},
          {"rounds", std::to_string(options.rounds)},
          {"seconds", readable(options.seconds)},
          {"data in", root + (is_in_memory(root) ? " (IN MEMORY: syncs cost nothing)" : "")}};
}

void run_once(CaseResult& result, BrokerSetup setup, const std::string& label, std::ostream& progress) {
  const bool parley = setup.brand == Brand::Parley;
  const CaseSide& side = parley ? result.measured.parley : result.measured.mosquitto;
  RunOptions run = side.run;
  setup.secure = run.scenario == Scenario::Tls || run.scenario == Scenario::Storm;
  setup.settings.insert(setup.settings.begin(), side.settings.begin(), side.settings.end());
  progress << label << std::flush;
  try {
    const RunningBroker broker(setup);
    run.target = broker.target();
    Report report = run_scenario(run);
    const std::string& figure = result.measured.goals.front().figure;
    progress << ": " << figure << " " << readable(report.find(figure).value_or(0)) << "\n";
    for (const auto& problem : report.problems) result.failures.push_back(label + ": " + problem);
    (parley ? result.parley : result.mosquitto).push_back(std::move(report));
  } catch (const Failure& failure) {
    progress << ": " << failure.what() << "\n";
    result.failures.push_back(label + ": " + failure.what());
  }
}

std::optional<double> median_of(const std::vector<Report>& reports, std::string_view figure) {
  std::vector<double> values;
  for (const auto& report : reports) {
    const auto value = report.find(figure);
    if (value && report.problems.empty()) values.push_back(*value);
  }
  return median(std::move(values));
}

}  // namespace

Outcome CaseResult::outcome_of(std::string_view figure) const {
  return {.parley = median_of(parley, figure), .mosquitto = median_of(mosquitto, figure)};
}

Comparison compare(const CompareOptions& options, std::optional<int> load_core, std::ostream& progress) {
  const Cores cores = choose_cores(load_core);
  const BrokerSetup parley{.brand = Brand::Parley,
                           .program = options.parleyd.empty() ? parleyd_beside_us() : options.parleyd,
                           .settings = options.settings,
                           .data_root = options.data_root,
                           .core = cores.broker};
  const BrokerSetup mosquitto{.brand = Brand::Mosquitto,
                              .program = options.mosquitto,
                              .settings = options.mosquitto_settings,
                              .data_root = options.data_root,
                              .core = cores.broker};
  for (const BrokerSetup* setup : {&parley, &mosquitto}) {
    if (!std::filesystem::exists(setup->program)) throw Failure("there is no program " + setup->program);
  }
  pin_to_core(0, cores.load);
  Comparison comparison{.conditions = conditions_of(options, cores), .results = {}};
  for (auto& each : cases_of(options)) {
    auto& result = comparison.results.emplace_back();
    result.measured = std::move(each);
    const unsigned rounds = result.measured.once ? 1 : options.rounds;
    for (unsigned round = 1; round <= rounds; ++round) {
      for (const BrokerSetup* setup : {&parley, &mosquitto}) {
        const std::string label = result.measured.name + " " + std::to_string(round) + "/" + std::to_string(rounds) +
                                  ", " + name_of(setup->brand);
        run_once(result, *setup, label, progress);
      }
    }
  }
  return comparison;
}

int exit_code_of(const Comparison& comparison, bool strict) {
  for (const auto& result : comparison.results) {
    if (!result.failures.empty()) return 1;
    for (const auto& goal : result.measured.goals) {
      const Verdict verdict = judge(goal, result.outcome_of(goal.figure));
      if (verdict == Verdict::Unmeasured || (strict && verdict == Verdict::Missed)) return 1;
    }
  }
  return 0;
}

}  // namespace parley::bench
