#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.hpp"
#include "broker/routing/retained_messages.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "mqtt/topic.hpp"
#include "mqtt/utf8.hpp"

/// A filter and a topic, with a newline between them. Rules and matching must agree with a plain reading of MQTT 5
/// §4.7.
using namespace parley;  // NOLINT

namespace {

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> levels;
  while (true) {
    const auto slash = text.find('/');
    levels.push_back(text.substr(0, slash));
    if (slash == std::string_view::npos) return levels;
    text.remove_prefix(slash + 1);
  }
}

bool is_plain_filter(std::string_view filter) {
  const auto levels = split(filter);
  if (filter.empty()) return false;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const bool wild = levels[i].find_first_of("+#") != std::string_view::npos;
    if (wild && levels[i] != "+" && levels[i] != "#") return false;
    if (levels[i] == "#" && i + 1 != levels.size()) return false;
  }
  return true;
}

bool is_filter(std::string_view filter) {
  if (!mqtt::is_mqtt_utf8(filter) || filter.size() > 65'535) return false;
  if (!filter.starts_with("$share/")) return is_plain_filter(filter);
  const auto levels = split(filter);
  if (levels.size() < 3 || levels[1].empty() || levels[1].find_first_of("+#") != std::string_view::npos) return false;
  return is_plain_filter(filter.substr(levels[0].size() + levels[1].size() + 2));
}

bool matches(std::string_view filter, std::string_view topic) {
  const auto want = split(filter);
  const auto have = split(topic);
  if (topic.starts_with('$') && (want[0] == "+" || want[0] == "#")) return false;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (want[i] == "#") return have.size() >= i;
    if (i >= have.size() || (want[i] != "+" && want[i] != have[i])) return false;
  }
  return want.size() == have.size();
}

void check_stores(std::string_view filter, std::string_view topic, bool expected) {
  routing::SubscriptionTree tree;
  if (!tree.add(filter, 1, {}, 0)) {
    const bool is_deep = mqtt::has_wildcard(filter) && split(filter).size() > mqtt::kFilterLevelsMax;
    PARLEY_CHECK(is_deep && !tree.has_match(topic) && tree.empty(), "the tree refuses a filter that it could take");
    return;
  }
  PARLEY_CHECK(tree.has_match(topic) == expected, "the tree matches otherwise");
  PARLEY_CHECK(tree.remove(filter, 1) && tree.empty(), "the tree keeps what was removed");
  routing::RetainedMessages retained({});
  if (!retained.set(mqtt::Message::make({.topic = topic, .payload = "x"}))) return;
  bool found = false;
  retained.match(filter, {}, [&](const mqtt::MessagePtr&) { found = true; });
  PARLEY_CHECK(found == expected, "retained messages match otherwise");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto newline = input.find('\n');
  const auto filter = input.substr(0, newline);
  const auto topic = newline == std::string_view::npos ? std::string_view() : input.substr(newline + 1);
  const bool good = mqtt::is_topic_filter(filter);
  PARLEY_CHECK(good == is_filter(filter), "the filter is judged otherwise");
  const bool good_topic = mqtt::is_topic_name(topic);
  PARLEY_CHECK(good_topic == (!topic.empty() && topic.size() <= 65'535 && mqtt::is_mqtt_utf8(topic) &&
                              !mqtt::has_wildcard(topic)),
               "the topic is judged otherwise");
  if (!good || !good_topic) return 0;
  const auto shared = mqtt::shared_filter(filter);
  const auto plain = shared ? shared->filter : filter;
  const bool expected = matches(plain, topic);
  PARLEY_CHECK(mqtt::matches(plain, topic) == expected, "filter and topic match otherwise");
  check_stores(plain, topic, expected);
  return 0;
}
