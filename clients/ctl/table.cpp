#include "clients/ctl/table.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace parley::ctl {
namespace {

std::string duration_text(std::uint64_t seconds) {
  if (seconds < 120) return std::to_string(seconds) + "s";
  if (seconds < 2 * 3600) return std::to_string(seconds / 60) + "m";
  if (seconds < std::uint64_t{48} * 3600) return std::to_string(seconds / 3600) + "h";
  return std::to_string(seconds / (std::uint64_t{24} * 3600)) + "d";
}

std::string cell(const boost::json::value* value, bool is_duration) {
  if (value == nullptr || value->is_null()) return "-";
  if (value->is_bool()) return value->as_bool() ? "yes" : "no";
  if (is_duration && value->is_int64()) return duration_text(static_cast<std::uint64_t>(value->as_int64()));
  if (const auto* list = value->if_array()) {
    std::string text;
    for (const auto& item : *list) text.append(text.empty() ? "" : ",").append(cell(&item, false));
    return text.empty() ? "-" : text;
  }
  const auto* string = value->if_string();
  std::string text = string != nullptr ? std::string(string->data(), string->size()) : boost::json::serialize(*value);
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
  return text.empty() ? "-" : text;
}

/// Code points, which is near enough to what a terminal shows.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string table(std::span<const Column> columns, const boost::json::array& rows) {
  std::vector<std::vector<std::string>> lines;
  auto& headings = lines.emplace_back();
  for (const Column& column : columns) headings.emplace_back(column.heading);
  for (const auto& row : rows) {
    auto& line = lines.emplace_back();
    const auto* object = row.if_object();
    for (const Column& column : columns) {
      line.push_back(cell(object == nullptr ? nullptr : object->if_contains(column.member), column.is_duration));
    }
  }
  std::vector<std::size_t> widths(columns.size());
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width(line[i]));
  }
  std::string text;
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      text.append(line[i]);
      if (i + 1 < line.size()) text.append(widths[i] - width(line[i]) + 2, ' ');
    }
    text.push_back('\n');
  }
  return text;
}

}  // namespace parley::ctl
