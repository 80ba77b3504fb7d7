#include "broker/auth/access_file.hpp"

#include <gtest/gtest.h>

namespace parley::auth {
namespace {

constexpr Subject kAnn{.user = "ann", .client_id = "ann-1"};
constexpr Subject kBob{.user = "bob", .client_id = "bob-1"};

std::shared_ptr<const AccessRules> rules_of(std::string_view text) {
  auto read = AccessRules::read(text);
  if (const auto* error = std::get_if<LineError>(&read)) {
    ADD_FAILURE() << error->line << ": " << error->why;
    return std::make_shared<AccessRules>();
  }
  return std::get<std::shared_ptr<const AccessRules>>(read);
}

struct CoverageCase {
  const char* pattern;
  const char* filter;
  Coverage expected;
};

TEST(TopicPattern, ComparesWithTopicsAndFilters) {
  const CoverageCase cases[] = {
      {"a/b", "a/b", Coverage::Whole},
      {"a/b", "a/c", Coverage::None},
      {"a/b", "a", Coverage::None},
      {"a", "a/b", Coverage::None},
      {"a/+", "a/b", Coverage::Whole},
      {"a/+", "a/", Coverage::Whole},
      {"a/+", "a", Coverage::None},
      {"a/#", "a", Coverage::Whole},  // MQTT 5 §4.7.1.2
      {"a/#", "a/b/c", Coverage::Whole},
      {"#", "a/b", Coverage::Whole},
      {"#", "$SYS/x", Coverage::None},  // MQTT 5 §4.7.2
      {"+/x", "$SYS/x", Coverage::None},
      {"$SYS/#", "$SYS/x", Coverage::Whole},
      {"$SYS/#", "#", Coverage::None},
      {"$SYS/#", "+/x", Coverage::None},
      {"a/+", "a/+", Coverage::Whole},
      {"a/+", "a/#", Coverage::Part},
      {"a/b", "a/+", Coverage::Part},
      {"a/b", "#", Coverage::Part},
      {"a/b", "+/+", Coverage::Part},
      {"a/b", "+/+/+", Coverage::None},
      {"a", "a/#", Coverage::Part},
      {"a/b/#", "a/+", Coverage::Part},  // a/b itself.
      {"a/b/#", "a/b/+", Coverage::Whole},
      {"#", "#", Coverage::Whole},
      {"+/b", "a/+", Coverage::Part},
      {"home/%u/#", "home/ann/x", Coverage::Whole},
      {"home/%u/#", "home/anna/x", Coverage::None},
      {"home/%u/#", "home/bob/x", Coverage::None},
      {"home/%u/#", "home/+/x", Coverage::Part},
      {"dev/x-%c-y", "dev/x-ann-1-y", Coverage::Whole},
      {"dev/x-%c-y", "dev/x-ann-1-z", Coverage::None},
      {"dev/%%c", "dev/%c", Coverage::Whole},
      {"dev/%%c", "dev/ann-1", Coverage::None},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(coverage(one.pattern, one.filter, kAnn, false), one.expected) << one.pattern << " " << one.filter;
  }
}

TEST(TopicPattern, GivesNothingForClientIdsThatAreNoLevel) {
  for (const char* id : {"a/b", "+", "#", "a#"}) {
    const Subject subject{.user = "ann", .client_id = id};
    EXPECT_NE(coverage("dev/%c/x", std::string("dev/") + id + "/x", subject, false), Coverage::Whole) << id;
    EXPECT_EQ(coverage("dev/%c/x", "dev/a/x", subject, false), Coverage::None) << id;
    EXPECT_EQ(coverage("dev/%c/x", "dev/a/x", subject, true), Coverage::Whole) << id;
  }
  EXPECT_EQ(coverage("%c/#", "$SYS/x", {.user = "ann", .client_id = "$SYS"}, false), Coverage::None);
  EXPECT_EQ(coverage("dev/%c", "dev/", {.user = "ann", .client_id = ""}, false), Coverage::None);
}

TEST(AccessRules, TheFirstRuleThatIsMeantDecides) {
  const auto rules = rules_of(
      "# plant\n"
      "group staff bob \"carol d.\"\n"
      "deny  readwrite all         plant/secret/#\n"
      "allow read      group staff plant/#\n"
      "allow write     user ann    plant/+/set\n"
      "allow readwrite all         home/%u/#\n"
      "allow read      all         $SYS/#\n");
  const Subject carol{.user = "carol d.", .client_id = "c"};
  EXPECT_TRUE(rules->may(Access::Read, kBob, "plant/1/state"));
  EXPECT_TRUE(rules->may(Access::Read, carol, "plant"));
  EXPECT_FALSE(rules->may(Access::Read, kAnn, "plant/1/state"));
  EXPECT_TRUE(rules->may(Access::Write, kAnn, "plant/1/set"));
  EXPECT_FALSE(rules->may(Access::Write, kBob, "plant/1/set"));
  EXPECT_FALSE(rules->may(Access::Read, kBob, "plant/secret/x"));
  EXPECT_TRUE(rules->may(Access::Write, kAnn, "home/ann/x"));
  EXPECT_FALSE(rules->may(Access::Write, kAnn, "home/bob/x"));
  EXPECT_TRUE(rules->may(Access::Read, kAnn, "$SYS/broker/uptime"));
  EXPECT_FALSE(rules->may(Access::Write, kAnn, "$SYS/broker/uptime"));
  EXPECT_FALSE(rules->may(Access::Read, kAnn, "elsewhere"));
}

TEST(AccessRules, SaysHowMuchOfAFilterMayBeRead) {
  const auto rules = rules_of(
      "deny  read user bob a/secret/#\n"
      "allow read all      a/#\n"
      "allow write all     w/#\n");
  EXPECT_EQ(rules->readable(kAnn, "a/#"), Coverage::Whole);
  EXPECT_EQ(rules->readable(kAnn, "a/b/+"), Coverage::Whole);
  EXPECT_EQ(rules->readable(kAnn, "#"), Coverage::Part);
  EXPECT_EQ(rules->readable(kAnn, "w/#"), Coverage::None);
  EXPECT_EQ(rules->readable(kBob, "a/#"), Coverage::Part);
  EXPECT_EQ(rules->readable(kBob, "a/secret/x"), Coverage::None);
  EXPECT_EQ(rules->readable(kBob, "a/b"), Coverage::Whole);
  EXPECT_EQ(rules->readable(kBob, "+/secret/x"), Coverage::Part)
      << "other first levels are for nobody, this one is denied";
  EXPECT_EQ(rules_of("")->readable(kAnn, "a"), Coverage::None);
}

TEST(AccessRules, DenyWithAClientIdDoesNotFailOpen) {
  const auto rules = rules_of("deny write all dev/%c/lock\nallow write all dev/#\n");
  EXPECT_FALSE(rules->may(Access::Write, {.user = "x", .client_id = "a/b"}, "dev/a/lock"));
  EXPECT_TRUE(rules->may(Access::Write, {.user = "x", .client_id = "b"}, "dev/a/lock"));
}

TEST(AccessRules, NamesTheFirstWrongLine) {
  struct Case {
    std::string_view line;
    std::string_view why;
  };
  const Case cases[] = {
      {"permit read all a", "allow or deny"},
      {"allow all a", "allow or deny"},
      {"allow reading all a", "allow or deny"},
      {"allow read everybody a", "allow or deny"},
      {"allow read user a", "allow or deny"},
      {"allow read all a b", "allow or deny"},
      {"allow read user a/b a", "user name"},
      {"allow read group nobody a", "no line above"},
      {"group", "A group is"},
      {"group \"\" a", "A group is"},
      {"group g a/b", "member"},
      {"allow read all a/#/b", "topic filter"},
      {"allow read all a+", "topic filter"},
      {"allow read all a/%x", "topic filter"},
      {"allow read all a%", "topic filter"},
      {"allow read all \"\"", "topic filter"},
      {"allow read all \"a b", "quotes"},
      {"allow read all a\"b\"", "quotes"},
      {"allow read all \"a\"b", "quotes"},
      {"allow read all \"a\\", "quotes"},
  };
  for (const Case& one : cases) {
    const auto read = AccessRules::read("allow read all a\n\n" + std::string(one.line) + "\nalso wrong\n");
    const auto* error = std::get_if<LineError>(&read);
    ASSERT_NE(error, nullptr) << one.line;
    EXPECT_EQ(error->line, 3U) << one.line;
    EXPECT_NE(error->why.find(one.why), std::string_view::npos) << one.line << ": " << error->why;
  }
}

TEST(AccessRules, AllowEverythingByOneRule) {
  const auto rules = rules_of("  # for all\nallow readwrite all #");
  EXPECT_TRUE(rules->may(Access::Write, kAnn, "a/b"));
  EXPECT_EQ(rules->readable(kAnn, "#"), Coverage::Whole);
  EXPECT_FALSE(rules->may(Access::Read, kAnn, "$SYS/x"));
}

TEST(AccessRules, ReadsQuotedWords) {
  const auto rules = rules_of("allow read user \"a \\\"b\\\\\" \"t o/#\"\r\n  # nothing\n");
  EXPECT_TRUE(rules->may(Access::Read, {.user = "a \"b\\", .client_id = ""}, "t o/x"));
}

}  // namespace
}  // namespace parley::auth
