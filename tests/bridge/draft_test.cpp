#include "bridge/draft.hpp"

#include <gtest/gtest.h>

#include "mqtt/properties.hpp"

namespace parley::bridge {
namespace {

constexpr std::string_view kJson = "application/json";

Draft accepted(const DraftSource& source) {
  auto read = read_draft(source);
  EXPECT_TRUE(std::holds_alternative<Draft>(read)) << source.body;
  return std::holds_alternative<Draft>(read) ? std::get<Draft>(std::move(read)) : Draft{};
}

Problem refused(const DraftSource& source) {
  const auto read = read_draft(source);
  EXPECT_TRUE(std::holds_alternative<ProblemDetails>(read)) << source.body;
  return std::holds_alternative<ProblemDetails>(read) ? std::get<ProblemDetails>(read).problem : Problem::InternalError;
}

TEST(Draft, OfJsonTextIsDeclaredAsText) {
  const auto draft = accepted({.content_type = kJson, .body = R"({"text":"häm \u263a"})"});
  EXPECT_EQ(draft.payload, "häm ☺");
  EXPECT_EQ(draft.id, "");
  const auto properties = mqtt::Properties::validate(draft.properties, mqtt::PropertyPlace::Publish);
  ASSERT_TRUE(properties);
  EXPECT_EQ(properties->integer(mqtt::PropertyId::PayloadFormatIndicator), 1U);
}

TEST(Draft, OfDataIsBytes) {
  const auto draft = accepted({.content_type = kJson, .body = R"({"data":"AAEC/w==","content_type":"image/png"})"});
  EXPECT_EQ(draft.payload, std::string("\x00\x01\x02\xff", 4));
  const auto properties = mqtt::Properties::validate(draft.properties, mqtt::PropertyPlace::Publish);
  ASSERT_TRUE(properties);
  EXPECT_FALSE(properties->integer(mqtt::PropertyId::PayloadFormatIndicator));
  EXPECT_EQ(properties->text(mqtt::PropertyId::ContentType), "image/png");
}

TEST(Draft, OfPlainTextIsTheBody) {
  const auto draft = accepted({.content_type = "Text/Plain; charset=utf-8", .body = "{\"not\":\"json\"}"});
  EXPECT_EQ(draft.payload, "{\"not\":\"json\"}");
}

TEST(Draft, TakesTheIdFromHeaderOrBody) {
  EXPECT_EQ(accepted({.content_type = kJson, .idempotency_key = "abc", .body = R"({"text":"x"})"}).id, "abc");
  EXPECT_EQ(accepted({.content_type = kJson, .idempotency_key = "\"abc\"", .body = R"({"text":"x"})"}).id, "abc");
  EXPECT_EQ(accepted({.content_type = kJson, .body = R"({"text":"x","id":"abc"})"}).id, "abc");
  EXPECT_EQ(accepted({.content_type = kJson, .idempotency_key = "abc", .body = R"({"text":"x","id":"abc"})"}).id,
            "abc");
  EXPECT_EQ(refused({.content_type = kJson, .idempotency_key = "abd", .body = R"({"text":"x","id":"abc"})"}),
            Problem::InvalidBody);
}

TEST(Draft, CarriesTheIdAndUserProperties) {
  const auto draft =
      accepted({.content_type = kJson,
                .body = R"({"text":"x","id":"7","props":[["color","red"],["id","fake"],["color","blue"]]})"});
  const auto properties = mqtt::Properties::validate(draft.properties, mqtt::PropertyPlace::Publish);
  ASSERT_TRUE(properties);
  std::string seen;
  for (const auto& item : *properties) {
    if (item.id == mqtt::PropertyId::UserProperty) seen.append(item.name).append("=").append(item.text).append(" ");
  }
  EXPECT_EQ(seen, "id=7 color=red color=blue ");
}

TEST(Draft, RefusesOtherBodies) {
  for (const auto* body :
       {"", "{", "[]", "7", "{}", R"({"text":1})", R"({"text":"a","data":"YQ=="})", R"({"data":"YQ"})", R"({"data":7})",
        R"({"text":"x","id":7})", R"({"text":"x","props":{}})", R"({"text":"x","props":[["a"]]})",
        R"({"text":"x","props":[["a",1]]})", R"({"text":"x","props":[["a\u0000","b"]]})",
        R"({"text":"x","content_type":1})", R"({"text":"\u0000"})", R"({"text":"x"} x)"}) {
    EXPECT_EQ(refused({.content_type = kJson, .body = body}), Problem::InvalidBody) << body;
  }
  EXPECT_EQ(refused({.content_type = "text/plain", .body = "\xff"}), Problem::InvalidBody);
}

TEST(Draft, RefusesOtherIds) {
  const std::string long_id(129, 'x');
  for (const std::string_view id : {std::string_view(long_id), std::string_view("a\x01"), std::string_view("\"\"")}) {
    EXPECT_EQ(refused({.content_type = kJson, .idempotency_key = id, .body = R"({"text":"x"})"}), Problem::InvalidId);
  }
  EXPECT_EQ(refused({.content_type = kJson, .body = R"({"text":"x","id":""})"}), Problem::InvalidId);
}

TEST(Draft, RefusesOtherMediaTypes) {
  for (const auto* type : {"", "text/html", "application/octet-stream", "application/jsonx"}) {
    EXPECT_EQ(refused({.content_type = type, .body = R"({"text":"x"})"}), Problem::UnsupportedMediaType) << type;
  }
}

}  // namespace
}  // namespace parley::bridge
