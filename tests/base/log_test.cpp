#include "base/log.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace parley::log {
namespace {

constexpr Timestamp kNow{1'767'323'045'006};  // 2026-01-02T03:04:05.006Z

std::string text(std::string_view event, Fields fields = {}) {
  const std::string whole = line(Level::Info, Format::Text, kNow, event, fields);
  constexpr std::string_view kHead = "2026-01-02T03:04:05.006Z info  ";
  EXPECT_TRUE(whole.starts_with(kHead)) << whole;
  return whole.substr(kHead.size());
}

std::string json(std::string_view event, Fields fields = {}) {
  const std::string whole = line(Level::Info, Format::Json, kNow, event, fields);
  constexpr std::string_view kHead = R"({"time":"2026-01-02T03:04:05.006Z","level":"info",)";
  EXPECT_TRUE(whole.starts_with(kHead)) << whole;
  return "{" + whole.substr(kHead.size());
}

TEST(LogLine, HasTimeLevelEventAndFields) {
  EXPECT_EQ(line(Level::Warn, Format::Text, kNow, "slot has no majority", {{"slot", 3}, {"term", Term{7}}}),
            "2026-01-02T03:04:05.006Z warn  slot has no majority slot=3 term=7");
  EXPECT_EQ(line(Level::Error, Format::Json, kNow, "x", {{"slot", 3}}),
            R"({"time":"2026-01-02T03:04:05.006Z","level":"error","event":"x","slot":3})");
  EXPECT_EQ(line(Level::Debug, Format::Journal, kNow, "x", {{"slot", 3}}), "<7>x slot=3");
  EXPECT_EQ(line(Level::Info, Format::Journal, kNow, "x", {}), "<6>x");
  EXPECT_EQ(line(Level::Warn, Format::Journal, kNow, "x", {}), "<4>x");
  EXPECT_EQ(line(Level::Error, Format::Journal, kNow, "x", {}), "<3>x");
}

TEST(LogLine, WritesEveryKindOfValue) {
  const std::string owned = "owned";
  EXPECT_EQ(text("e", {{"a", -5},
                       {"b", 5U},
                       {"c", true},
                       {"d", false},
                       {"f", owned},
                       {"g", "word"},
                       {"h", std::string_view("view")}}),
            "e a=-5 b=5 c=true d=false f=owned g=word h=view");
  EXPECT_EQ(json("e", {{"a", -5}, {"b", 5U}, {"c", true}, {"d", false}, {"f", owned}}),
            R"({"event":"e","a":-5,"b":5,"c":true,"d":false,"f":"owned"})");
  EXPECT_EQ(text("e", {{"x", 0.5}}), "e x=0.500000");
}

TEST(LogLine, HoldsTheLargestNumbers) {
  EXPECT_EQ(text("e", {{"a", std::numeric_limits<std::int64_t>::min()}}), "e a=-9223372036854775808");
  EXPECT_EQ(text("e", {{"a", std::numeric_limits<std::uint64_t>::max()}}), "e a=18446744073709551615");
  EXPECT_EQ(json("e", {{"a", Epoch{0x8000'0000'0000'0000}}}), R"({"event":"e","a":9223372036854775808})");
}

TEST(LogLine, QuotesAndEscapesWhatCouldBreakIt) {
  struct Case {
    std::string_view value;
    std::string_view text;
    std::string_view json;
  };
  using namespace std::string_view_literals;
  for (const Case& one :
       {Case{"", R"("")", R"("")"}, Case{"plain", "plain", R"("plain")"},
        Case{"two words", R"("two words")", R"("two words")"}, Case{"a=b", R"("a=b")", R"("a=b")"},
        Case{R"(say "hi")", R"("say \"hi\"")", R"("say \"hi\"")"}, Case{R"(a\b)", R"("a\\b")", R"("a\\b")"},
        Case{"a\nb", R"("a\u000ab")", R"("a\u000ab")"}, Case{"\x1b[31m", R"("\u001b[31m")", R"("\u001b[31m")"},
        Case{"\0"sv, R"("\u0000")", R"("\u0000")"}, Case{"\x7F", R"("\u007f")", R"("\u007f")"},
        Case{"\xC3\xA9", "\xC3\xA9", "\"\xC3\xA9\""}}) {
    EXPECT_EQ(text("e", {{"v", one.value}}), "e v=" + std::string(one.text));
    EXPECT_EQ(json("e", {{"v", one.value}}), R"({"event":"e","v":)" + std::string(one.json) + "}");
  }
}

TEST(LogLine, NeverSpansTwoLines) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string value(1, static_cast<char>(byte));
    for (const Format format : {Format::Text, Format::Json, Format::Journal}) {
      const std::string one = line(Level::Info, format, kNow, "e", {{"v", value}});
      for (const char c : one) EXPECT_FALSE(static_cast<unsigned char>(c) < 0x20 || c == 0x7F) << byte;
    }
  }
}

TEST(LogLevel, IsReadFromItsWord) {
  Level level = Level::Warn;
  EXPECT_TRUE(read_level("debug", level));
  EXPECT_EQ(level, Level::Debug);
  EXPECT_TRUE(read_level("error", level));
  EXPECT_EQ(level, Level::Error);
  for (const std::string_view bad : {"", "DEBUG", "warning", "info "}) {
    EXPECT_FALSE(read_level(bad, level)) << bad;
    EXPECT_EQ(level, Level::Error);
  }
}

TEST(LogLevel, TurnsLinesBelowItOff) {
  configure(Level::Warn, Format::Text);
  EXPECT_FALSE(enabled(Level::Debug));
  EXPECT_FALSE(enabled(Level::Info));
  EXPECT_TRUE(enabled(Level::Warn));
  EXPECT_TRUE(enabled(Level::Error));
  testing::internal::CaptureStderr();
  info("not written");
  warn("written", {{"n", 1}});
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_EQ(written.find("not written"), std::string::npos);
  EXPECT_NE(written.find("warn  written n=1\n"), std::string::npos);
  configure(Level::Info, Format::Text);
}

TEST(Log, WritesOfOneEventOnlySoManyLines) {
  testing::internal::CaptureStderr();
  for (int i = 0; i < 5'000; ++i) warn("a storm of lines", {{"number", i}});
  for (int i = 0; i < 5'000; ++i) error("a storm of errors", {{"number", i}});
  const std::string text = testing::internal::GetCapturedStderr();
  const auto count = [&](std::string_view event) {
    std::size_t found = 0;
    for (auto at = text.find(event); at != text.npos; at = text.find(event, at + 1)) ++found;
    return found;
  };
  EXPECT_GE(count("a storm of lines"), 500U);
  EXPECT_LT(count("a storm of lines"), 1'000U);
  EXPECT_EQ(count("a storm of errors"), 5'000U) << "they need somebody";
}

}  // namespace
}  // namespace parley::log
