#include "mqtt/topic.hpp"

namespace parley::mqtt {
namespace {

constexpr std::string_view kSharePrefix = "$share/";
constexpr std::size_t kTopicSizeMax = 65'535;

bool has_good_levels(std::string_view filter) {
  if (filter.empty() || filter.size() > kTopicSizeMax) return false;
  Levels levels(filter);
  bool ended = false;
  while (const auto level = levels.next()) {
    if (ended) return false;  // §4.7.1.2: # is the last level.
    if (*level == "#") {
      ended = true;
    } else if (*level != "+" && level->find_first_of("+#") != std::string_view::npos) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool is_topic_name(std::string_view topic) {
  return !topic.empty() && topic.size() <= kTopicSizeMax && topic.find_first_of("+#") == std::string_view::npos;
}

bool is_topic_filter(std::string_view filter) {
  if (!filter.starts_with(kSharePrefix)) return filter != "$share" && has_good_levels(filter);
  const auto shared = shared_filter(filter);
  // §4.8.2: the share name has at least one character and none of / + #.
  return shared && !shared->group.empty() && shared->group.find_first_of("+#") == std::string_view::npos &&
         has_good_levels(shared->filter) && filter.size() <= kTopicSizeMax;
}

std::optional<SharedFilter> shared_filter(std::string_view filter) {
  if (!filter.starts_with(kSharePrefix)) return std::nullopt;
  filter.remove_prefix(kSharePrefix.size());
  const auto slash = filter.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  return SharedFilter{filter.substr(0, slash), filter.substr(slash + 1)};
}

bool matches(std::string_view filter, std::string_view topic) {
  if (topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#'))) return false;
  Levels filters(filter);
  Levels topics(topic);
  for (;;) {
    const auto wanted = filters.next();
    const auto level = topics.next();
    if (!wanted) return !level;
    if (*wanted == "#") return true;  // Also the parent level. §4.7.1.2.
    if (!level || (*wanted != "+" && *wanted != *level)) return false;
  }
}

bool has_wildcard(std::string_view filter) { return filter.find_first_of("+#") != std::string_view::npos; }

}  // namespace parley::mqtt
