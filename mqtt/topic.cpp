#include "mqtt/topic.hpp"

#include <algorithm>
#include <cstddef>

#include "mqtt/utf8.hpp"

namespace parley::mqtt {
namespace {

constexpr std::size_t kTopicSizeMax = 65'535;
constexpr std::string_view kShare = "$share/";

bool is_plain_filter(std::string_view filter) {
  if (filter.empty()) return false;
  Levels levels(filter);
  bool last = false;
  while (const auto level = levels.next()) {
    if (last) return false;  // Something follows the `#`.
    last = *level == "#";
    if (level->size() > 1 && has_wildcard(*level)) return false;
  }
  return true;
}

}  // namespace

bool is_topic_name(std::string_view topic) {
  return !topic.empty() && topic.size() <= kTopicSizeMax && is_mqtt_utf8_without_wildcards(topic);
}

bool is_topic_filter(std::string_view filter) {
  if (filter.size() > kTopicSizeMax || !is_mqtt_utf8(filter)) return false;
  if (!filter.starts_with(kShare)) return is_plain_filter(filter);
  const auto shared = shared_filter(filter);
  return shared && !has_wildcard(shared->group) && is_plain_filter(shared->filter);
}

std::optional<SharedFilter> shared_filter(std::string_view filter) {
  if (!filter.starts_with(kShare)) return std::nullopt;
  filter.remove_prefix(kShare.size());
  const auto slash = filter.find('/');
  if (slash == 0 || slash == std::string_view::npos || slash + 1 == filter.size()) return std::nullopt;
  return SharedFilter{filter.substr(0, slash), filter.substr(slash + 1)};
}

bool matches(std::string_view filter, std::string_view topic) {
  if (topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#'))) return false;
  Levels wanted(filter);
  Levels given(topic);
  while (true) {
    const auto want = wanted.next();
    if (want == "#") return true;  // The parent level, too: "a/#" matches "a".
    const auto level = given.next();
    if (!want || !level) return !want && !level;
    if (*want != "+" && *want != *level) return false;
  }
}

std::size_t level_count(std::string_view topic) { return 1 + static_cast<std::size_t>(std::ranges::count(topic, '/')); }

bool has_wildcard(std::string_view filter) { return filter.find_first_of("+#") != std::string_view::npos; }

}  // namespace parley::mqtt
