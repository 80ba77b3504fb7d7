#include "clients/bench/compare.hpp"

namespace parley::bench {
namespace {

std::string cell(std::optional<double> value) { return value ? readable(*value) : "-"; }

std::string target_of(const Goal& goal) {
  switch (goal.rule) {
    case Rule::ShareAtMost: return "share ≤ " + readable(goal.target);
    case Rule::ShareAtLeast: return "share ≥ " + readable(goal.target);
    case Rule::ValueAtMost: return "≤ " + readable(goal.target);
    case Rule::ValueAtLeast: return "≥ " + readable(goal.target);
    case Rule::Shown: break;
  }
  return "";
}

std::string goals_table(const Comparison& comparison) {
  std::vector<std::vector<std::string>> rows{{"case", "figure", "Parley", "mosquitto", "share", "target", "verdict"}};
  for (const auto& result : comparison.results) {
    for (const auto& goal : result.measured.goals) {
      const Outcome outcome = result.outcome_of(goal.figure);
      rows.push_back({result.measured.name, goal.figure, cell(outcome.parley), cell(outcome.mosquitto),
                      cell(outcome.share()), target_of(goal), name_of(judge(goal, outcome))});
    }
  }
  return table(rows);
}

/// Whether the broker or the load was busy, and what came of it: without that, a cost per message means little.
std::string rates_table(const Comparison& comparison) {
  static constexpr struct {
    const char* head;
    const char* figure;
  } kColumns[] = {{"messages/s", "messages_per_second"},
                  {"deliveries/s", "deliveries_per_second"},
                  {"broker CPU %", "broker_cpu_percent"},
                  {"load CPU %", "load_cpu_percent"},
                  {"others CPU %", "others_cpu_percent"},
                  {"p50 µs", "p50_us"},
                  {"p99 µs", "p99_us"},
                  {"RSS MB", "broker_rss_mb"}};
  std::vector<std::vector<std::string>> rows{{"case", "broker"}};
  for (const auto& column : kColumns) rows.front().push_back(column.head);
  for (const auto& result : comparison.results) {
    for (const Brand brand : {Brand::Parley, Brand::Mosquitto}) {
      std::vector<std::string> row{result.measured.name, name_of(brand)};
      bool any = false;
      for (const auto& column : kColumns) {
        const Outcome outcome = result.outcome_of(column.figure);
        const auto value = brand == Brand::Parley ? outcome.parley : outcome.mosquitto;
        any = any || value;
        row.push_back(cell(value));
      }
      if (any) rows.push_back(std::move(row));
    }
  }
  return rows.size() > 1 ? table(rows) : "";
}

std::string goal_json(const Goal& goal, const Outcome& outcome) {
  const auto number = [](std::optional<double> value) { return value ? json_number(*value) : std::string("null"); };
  return json_object({{"figure", json_string(goal.figure)},
                      {"parley", number(outcome.parley)},
                      {"mosquitto", number(outcome.mosquitto)},
                      {"share", number(outcome.share())},
                      {"target", json_string(target_of(goal))},
                      {"verdict", json_string(name_of(judge(goal, outcome)))}});
}

std::string result_json(const CaseResult& result) {
  std::vector<std::string> goals, runs, failures;
  for (const auto& goal : result.measured.goals) goals.push_back(goal_json(goal, result.outcome_of(goal.figure)));
  for (const auto* reports : {&result.parley, &result.mosquitto}) {
    for (const auto& report : *reports) runs.push_back(to_json(report));
  }
  for (const auto& failure : result.failures) failures.push_back(json_string(failure));
  return json_object({{"case", json_string(result.measured.name)},
                      {"meaning", json_string(result.measured.meaning)},
                      {"goals", json_array(goals)},
                      {"runs", json_array(runs)},
                      {"failures", json_array(failures)}});
}

}  // namespace

std::string to_text(const Comparison& comparison) {
  std::string text = "Parley beside mosquitto, medians";
  for (const auto& [name, value] : comparison.conditions) text += ", " + name + " " + value;
  text += "\n\n" + goals_table(comparison);
  if (const std::string rates = rates_table(comparison); !rates.empty()) text += "\n" + rates;
  text += "\n";
  for (const auto& result : comparison.results) text += result.measured.name + ": " + result.measured.meaning + "\n";
  for (const auto& result : comparison.results) {
    for (const auto& failure : result.failures) text += "PROBLEM: " + failure + "\n";
  }
  return text;
}

std::string to_json(const Comparison& comparison) {
  std::vector<std::pair<std::string, std::string>> conditions;
  for (const auto& [name, value] : comparison.conditions) conditions.emplace_back(name, json_string(value));
  std::vector<std::string> results;
  for (const auto& result : comparison.results) results.push_back(result_json(result));
  return json_object({{"conditions", json_object(conditions)}, {"cases", json_array(results)}});
}

}  // namespace parley::bench
