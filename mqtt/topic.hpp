#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/result.hpp"
#include "mqtt/types.hpp"

/// Topic names and filters. MQTT 5 §4.7, §4.8. Pure.
namespace parley::mqtt {

/// At least one character, no wildcard, well-formed, ≤ 65,535 bytes. MQTT 5 §4.7.3.
bool is_topic_name(std::string_view topic);
/// Trees of levels take no more: what walks them goes one call deeper for each.
inline constexpr std::size_t kFilterLevelsMax = 256;
/// Levels of a topic or filter, whatever is between the slashes.
std::size_t level_count(std::string_view topic);
/// A topic filter, wildcards in whole levels only; a `$share/…` filter is checked with its parts. MQTT 5 §4.7.1,
/// §4.8.2.
bool is_topic_filter(std::string_view filter);

/// `$share/{group}/{filter}` taken apart; nothing for another filter. MQTT 5 §4.8.2.
struct SharedFilter {
  std::string_view group;
  std::string_view filter;
};
std::optional<SharedFilter> shared_filter(std::string_view filter);

/// True when `filter` (without $share) matches `topic`; wildcards at the first level don't match `$…`. MQTT 5 §4.7.2.
bool matches(std::string_view filter, std::string_view topic);

bool has_wildcard(std::string_view filter);

/// Takes a topic's levels one by one: "a//b" has levels "a", "", "b".
class Levels {
 public:
  explicit Levels(std::string_view topic) : rest_(topic) {}
  std::optional<std::string_view> next() {
    if (done_) return std::nullopt;
    const auto slash = rest_.find('/');
    const auto level = rest_.substr(0, slash);
    if (slash == std::string_view::npos) {
      done_ = true;
    } else {
      rest_.remove_prefix(slash + 1);
    }
    return level;
  }

 private:
  std::string_view rest_;
  bool done_ = false;
};

}  // namespace parley::mqtt
