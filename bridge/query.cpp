#include "bridge/query.hpp"

#include <array>
#include <charconv>
#include <string>

#include "bridge/rfc3339.hpp"
#include "bridge/target.hpp"

namespace parley::bridge {
namespace {

constexpr std::string_view kPositions = "is seq:N, Unix milliseconds or an RFC 3339 time such as 2026-03-01T12:30:00Z";

/// One parameter: reads the value into the query, or says what it expects.
struct ParameterRule {
  std::string_view name;
  bool in_stream;
  bool (*read)(HistoryQuery& query, std::string_view value);
  std::string_view expected;  ///< Completes "`name` …".
};

bool read_number(std::string_view value, std::uint32_t least, std::uint32_t most, std::uint32_t& to) {
  const auto number = read_decimal(value);
  if (!number || *number < least || *number > most) return false;
  to = static_cast<std::uint32_t>(*number);
  return true;
}

template <class T>
bool keep(std::optional<T>& to, std::optional<T> read) {
  to = read;
  return to.has_value();
}

constexpr std::array kParameters{
    ParameterRule{
        "limit", false,
        [](HistoryQuery& query, std::string_view value) { return read_number(value, 1, kLimitMax, query.limit); },
        "is a number from 1 to 1000"},
    ParameterRule{"before", false,
                  [](HistoryQuery& query, std::string_view value) { return keep(query.before, read_position(value)); },
                  kPositions},
    ParameterRule{"after", true,
                  [](HistoryQuery& query, std::string_view value) { return keep(query.after, read_position(value)); },
                  kPositions},
    ParameterRule{"cursor", false,
                  [](HistoryQuery& query, std::string_view value) { return keep(query.cursor, Cursor::decode(value)); },
                  "is a value that this server gave as next or prev"},
    ParameterRule{"epoch", true,
                  [](HistoryQuery& query, std::string_view value) {
                    const auto number = read_decimal(value);
                    if (number) query.epoch = Epoch{*number};
                    return number.has_value();
                  },
                  "is a decimal number as in meta.epoch"},
    ParameterRule{
        "wait", false,
        [](HistoryQuery& query, std::string_view value) { return read_number(value, 0, kWaitMax, query.wait); },
        "is a number of seconds from 0 to 60"},
};

ProblemDetails unknown_parameter(std::string_view name, bool stream) {
  std::string detail("There is no such parameter; known are");
  for (const auto& rule : kParameters) {
    if (stream && !rule.in_stream) continue;
    detail.append(detail.ends_with("are") ? " " : ", ").append(rule.name);
  }
  return parameter_problem(name, detail.append("."));
}

OrProblem<HistoryQuery> read_query(std::string_view text, bool stream) {
  HistoryQuery query;
  std::array<bool, kParameters.size()> seen{};
  while (const auto parameter = next_parameter(text)) {
    if (parameter->broken) return parameter_problem("query", "A percent-encoding in the query is broken.");
    std::size_t i = 0;
    while (i < kParameters.size() &&
           (kParameters[i].name != parameter->name || (stream && !kParameters[i].in_stream))) {
      ++i;
    }
    if (i == kParameters.size()) return unknown_parameter(parameter->name.substr(0, 64), stream);
    const auto& rule = kParameters[i];
    if (seen[i]) return parameter_problem(rule.name, std::string(rule.name).append(" stands twice."));
    seen[i] = true;
    if (!rule.read(query, parameter->value)) {
      return parameter_problem(rule.name, std::string(rule.name).append(" ").append(rule.expected).append("."));
    }
  }
  if (query.cursor && (query.before || query.after)) {
    return parameter_problem("cursor", "cursor stands instead of before and after, not beside them.");
  }
  const bool ascending = query.after || (query.cursor && query.cursor->direction == PageDirection::Ascending);
  if (query.wait != 0 && !ascending) return parameter_problem("wait", "wait needs after, or a cursor given as next.");
  return query;
}

}  // namespace

OrProblem<HistoryQuery> read_history_query(std::string_view query) { return read_query(query, false); }
OrProblem<HistoryQuery> read_stream_query(std::string_view query) { return read_query(query, true); }

std::optional<Position> read_position(std::string_view text) {
  constexpr std::string_view kSeq = "seq:";
  if (text.starts_with(kSeq)) {
    const auto seq = read_decimal(text.substr(kSeq.size()));
    if (!seq) return std::nullopt;
    return Seq{*seq};
  }
  if (const auto milliseconds = read_decimal(text)) return Timestamp{*milliseconds};
  const auto time = read_rfc3339(text);
  if (!time) return std::nullopt;
  return *time;
}

std::optional<std::uint64_t> read_decimal(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace parley::bridge
