#include "clients/bench/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace parley::bench {
namespace {

std::string printed(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// Characters, not bytes: µ and ≤ take one column each.
std::size_t width_of(std::string_view cell) {
  return static_cast<std::size_t>(std::ranges::count_if(cell, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& cell, std::size_t width, bool right) {
  const std::string space(width - std::min(width, width_of(cell)), ' ');
  return right ? space + cell : cell + space;
}

}  // namespace

std::optional<double> Report::find(std::string_view name) const {
  const auto found = std::ranges::find(figures, name, &Figure::name);
  if (found == figures.end()) return std::nullopt;
  return found->value;
}

std::string readable(double value) {
  if (!std::isfinite(value)) return "-";
  if (value == 0) return "0";
  if (std::abs(value) < 1) return printed("%.3f", value);
  if (std::abs(value) < 10) return printed("%.2f", value);
  if (std::abs(value) < 100) return printed("%.1f", value);
  std::string digits = printed("%.0f", std::abs(value));
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return value < 0 ? "-" + digits : digits;
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      line += padded(row[i], widths[i], i > 0);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string to_text(const Report& report) {
  std::string text = report.scenario + " against " + report.broker;
  for (const auto& [name, value] : report.settings) text += ", " + name + " " + value;
  text += "\n";
  std::vector<std::vector<std::string>> rows;
  for (const auto& figure : report.figures) rows.push_back({"  " + figure.name, readable(figure.value)});
  text += table(rows);
  for (const auto& problem : report.problems) text += "  PROBLEM: " + problem + "\n";
  return text;
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string json_number(double value) { return std::isfinite(value) ? printed("%.10g", value) : "null"; }

std::string json_object(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string out = "{";
  for (const auto& [name, value] : members) {
    if (out.size() > 1) out += ",";
    out += json_string(name) + ":" + value;
  }
  return out + "}";
}

std::string json_array(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const auto& item : items) {
    if (out.size() > 1) out += ",";
    out += item;
  }
  return out + "]";
}

std::string to_json(const Report& report) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const auto& [name, value] : report.settings) settings.emplace_back(name, json_string(value));
  std::vector<std::pair<std::string, std::string>> figures;
  for (const auto& figure : report.figures) figures.emplace_back(figure.name, json_number(figure.value));
  std::vector<std::string> problems;
  for (const auto& problem : report.problems) problems.push_back(json_string(problem));
  return json_object({{"scenario", json_string(report.scenario)},
                      {"broker", json_string(report.broker)},
                      {"settings", json_object(settings)},
                      {"figures", json_object(figures)},
                      {"problems", json_array(problems)}});
}

}  // namespace parley::bench
