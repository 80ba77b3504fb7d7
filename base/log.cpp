#include "base/log.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <functional>

#include "base/log_thread.hpp"

namespace parley::log {
namespace {

struct LevelRule {
  std::string_view word;
  std::string_view text;
  std::string_view journal;  ///< sd-daemon(3): the priority a line begins with.
};
constexpr std::array kLevels{LevelRule{"debug", "debug", "<7>"}, LevelRule{"info", "info ", "<6>"},
                             LevelRule{"warn", "warn ", "<4>"}, LevelRule{"error", "error", "<3>"}};

std::atomic<Level> least{Level::Info};
std::atomic<Format> format_now{Format::Text};
/// Lines for which a LogThread had no room.
std::atomic<std::uint64_t> unwritten = 0;

const LevelRule& rule_of(Level level) { return kLevels.at(static_cast<std::size_t>(level)); }

constexpr bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

/// Escapes what could break a line or its quotes; bytes above 0x7F stay as they are.
void append_escaped(std::string& to, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      to.push_back('\\');
      to.push_back(c);
    } else if (is_control(c)) {
      const auto byte = static_cast<unsigned char>(c);
      to.append("\\u00").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
    } else {
      to.push_back(c);
    }
  }
}

bool needs_quotes(std::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    if (is_control(c) || c == ' ' || c == '"' || c == '=' || c == '\\') return true;
  }
  return false;
}

std::string time_text(Timestamp now) {
  const auto seconds = static_cast<std::time_t>(now.milliseconds / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  const auto millis = static_cast<unsigned>(now.milliseconds % 1000);
  std::array<char, 8> tail{};
  std::snprintf(tail.data(), tail.size(), ".%03uZ", millis);
  return std::string(text.data(), size) + tail.data();
}

Timestamp wall_clock() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return {static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count())};
}

}  // namespace

void Value::append_text(std::string& to) const {
  switch (kind_) {
    case Kind::Number: to.append(std::to_string(number_)); return;
    case Kind::Unsigned: to.append(std::to_string(static_cast<std::uint64_t>(number_))); return;
    case Kind::Real: to.append(std::to_string(real_)); return;
    case Kind::Truth: to.append(number_ != 0 ? "true" : "false"); return;
    case Kind::Text: break;
  }
  if (!needs_quotes(text_)) {
    to.append(text_);
    return;
  }
  to.push_back('"');
  append_escaped(to, text_);
  to.push_back('"');
}

void Value::append_json(std::string& to) const {
  if (kind_ != Kind::Text) {
    append_text(to);
    return;
  }
  to.push_back('"');
  append_escaped(to, text_);
  to.push_back('"');
}

void configure(Level level, Format format) {
  least = level;
  format_now = format;
}

bool read_level(std::string_view word, Level& level) {
  for (std::size_t i = 0; i < kLevels.size(); ++i) {
    if (kLevels[i].word != word) continue;
    level = static_cast<Level>(i);
    return true;
  }
  return false;
}

bool enabled(Level level) { return level >= least.load(std::memory_order_relaxed); }

std::string line(Level level, Format format, Timestamp now, std::string_view event, Fields fields) {
  std::string text;
  if (format == Format::Json) {
    text.append("{\"time\":\"").append(time_text(now)).append("\",\"level\":\"").append(rule_of(level).word);
    text.append("\",\"event\":\"");
    append_escaped(text, event);
    text.push_back('"');
    for (const Field& field : fields) {
      text.append(",\"").append(field.name).append("\":");
      field.value.append_json(text);
    }
    return text.append("}");
  }
  if (format == Format::Journal) {
    text.append(rule_of(level).journal);  // The journal has the time itself.
  } else {
    text.append(time_text(now)).append(" ").append(rule_of(level).text).append(" ");
  }
  text.append(event);
  for (const Field& field : fields) {
    text.append(" ").append(field.name).append("=");
    field.value.append_text(text);
  }
  return text;
}

namespace {

void put(Level level, std::string_view event, Fields fields) {
  std::string text = line(level, format_now.load(std::memory_order_relaxed), wall_clock(), event, fields);
  text.push_back('\n');
  if (LogThread* thread = LogThread::active()) {
    if (!thread->add(text)) unwritten.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  // One write a line: lines of several threads and processes don't mix.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

/// Says first what had to be left out.
void put_all(Level level, std::string_view event, Fields fields) {
  if (unwritten.load(std::memory_order_relaxed) != 0) {
    if (const auto count = unwritten.exchange(0, std::memory_order_relaxed)) {
      put(Level::Warn, "lines were left out, they aren't read fast enough", {{"count", count}});
    }
  }
  put(level, event, fields);
}

/// How many lines of one event are written: whoever can bring them about must not fill the disk, nor hold up the
/// threads that write when nobody reads fast enough.
class Flow {
 public:
  struct Taken {
    bool may_pass = false;
    std::uint64_t left_out = 0;  ///< Before this one.
  };
  Taken take() {
    using namespace std::chrono;
    const std::int64_t now = duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
    std::int64_t free_at = free_at_.load(std::memory_order_relaxed);
    do {
      if (free_at - now > kBurst * kInterval) {
        left_out_.fetch_add(1, std::memory_order_relaxed);
        return {};
      }
    } while (!free_at_.compare_exchange_weak(free_at, std::max(free_at, now) + kInterval, std::memory_order_relaxed));
    return {.may_pass = true, .left_out = left_out_.exchange(0, std::memory_order_relaxed)};
  }

 private:
  static constexpr std::int64_t kInterval = 20'000'000;  ///< Nanoseconds between two lines, after …
  static constexpr std::int64_t kBurst = 500;            ///< … so many at once.

  std::atomic<std::int64_t> free_at_ = 0;
  std::atomic<std::uint64_t> left_out_ = 0;
};

/// Events that share a place share their lines.
Flow& flow_of(std::string_view event) {
  static std::array<Flow, 1024> flows;
  return flows[std::hash<std::string_view>{}(event) % flows.size()];
}

}  // namespace

void write(Level level, std::string_view event, Fields fields) {
  if (!enabled(level)) return;
  if (level == Level::Info || level == Level::Warn) {
    const auto flow = flow_of(event).take();
    if (!flow.may_pass) return;
    if (flow.left_out != 0) put_all(level, "lines were left out", {{"of_event", event}, {"count", flow.left_out}});
  }
  put_all(level, event, fields);
}

}  // namespace parley::log
