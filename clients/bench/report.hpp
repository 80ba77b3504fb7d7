#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What a run found out, for people and for programs. Pure.
namespace parley::bench {

struct Figure {
  std::string name;  ///< With its unit at the end, as in `p99_us`.
  double value = 0;
};

struct Report {
  std::string scenario;
  std::string broker;                                         ///< Which one, as `host:port` or by name.
  std::vector<std::pair<std::string, std::string>> settings;  ///< What was asked for.
  std::vector<Figure> figures;
  std::vector<std::string> problems;  ///< Sentences; a run with problems has failed, its figures notwithstanding.

  void add(std::string name, double value) { figures.push_back({std::move(name), value}); }
  [[nodiscard]] std::optional<double> find(std::string_view name) const;
};

/// A number as people want to read it: 0.94, 17.9, 5,231.
std::string readable(double value);

/// Columns as wide as their widest cell, the first left-aligned, the others right-aligned. The first row is the head.
std::string table(const std::vector<std::vector<std::string>>& rows);

std::string to_text(const Report& report);

/// JSON values, objects and arrays of what is already JSON. RFC 8259.
std::string json_string(std::string_view text);
std::string json_number(double value);  ///< Null when it is not finite.
std::string json_object(const std::vector<std::pair<std::string, std::string>>& members);
std::string json_array(const std::vector<std::string>& items);

std::string to_json(const Report& report);

}  // namespace parley::bench
