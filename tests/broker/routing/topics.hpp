#pragma once

#include <random>
#include <string>
#include <string_view>

#include "mqtt/topic.hpp"

namespace parley::routing {

/// Made-up topics and filters of few and short levels, so that they often meet.
class Topics {
 public:
  explicit Topics(std::uint64_t seed) : random_(seed) {}

  std::string topic() {
    while (true) {
      std::string text = path({"a", "b", "c", "", "$SYS"});
      if (!text.empty()) return text;
    }
  }
  std::string filter() {
    while (true) {
      std::string text = path({"a", "b", "c", "", "$SYS", "+", "+", "#"});
      if (mqtt::is_topic_filter(text)) return text;
    }
  }
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

 private:
  std::string path(std::initializer_list<std::string_view> levels) {
    std::string text(levels.begin()[below(levels.size())]);
    for (std::uint64_t more = below(6); more > 0; --more) text.append("/").append(levels.begin()[below(levels.size())]);
    return text;
  }
  std::mt19937_64 random_;
};

}  // namespace parley::routing
