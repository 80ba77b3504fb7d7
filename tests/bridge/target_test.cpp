#include "bridge/target.hpp"

#include <gtest/gtest.h>

namespace parley::bridge {
namespace {

TEST(Target, NamesTheResource) {
  struct Case {
    std::string_view text;
    Resource resource;
    std::string_view prefix;
    std::string_view conversation;
    std::string_view query;
  };
  const Case cases[] = {
      {"/healthz", Resource::Health, "", "", ""},
      {"/readyz?x", Resource::Ready, "", "", "x"},
      {"/metrics", Resource::Metrics, "", "", ""},
      {"/openapi.json", Resource::OpenApi, "", "", ""},
      {"/v1/conversations/a/messages", Resource::Messages, "/v1", "a", ""},
      {"/conversations/a/messages?limit=3&x", Resource::Messages, "", "a", "limit=3&x"},
      {"/v1/conversations/dm:a%3Ab%20c/stream", Resource::Stream, "/v1", "dm:a:b c", ""},
      {"/v1/conversations/%C3%A4/messages", Resource::Messages, "/v1", "ä", ""},
      {"/v1/conversations/a%2Fb/messages", Resource::Messages, "/v1", "a/b", ""},
      {"/v1/conversations//messages", Resource::Messages, "/v1", "", ""},
      {"http://host:80/conversations/a/messages?q", Resource::Messages, "", "a", "q"},
  };
  for (const auto& expected : cases) {
    const auto target = read_target(expected.text);
    EXPECT_EQ(target.resource, expected.resource) << expected.text;
    EXPECT_EQ(target.prefix, expected.prefix) << expected.text;
    EXPECT_EQ(target.conversation, expected.conversation) << expected.text;
    EXPECT_EQ(target.query, expected.query) << expected.text;
  }
}

TEST(Target, IsNothingForOtherPaths) {
  for (const auto* text : {"",
                           "/",
                           "*",
                           "healthz",
                           "/healthz/",
                           "/v1",
                           "/v1/",
                           "/v1/healthz2",
                           "/v2/conversations/a/messages",
                           "/v1/conversations",
                           "/v1/conversations/a",
                           "/v1/conversations/a/",
                           "/v1/conversations/a/message",
                           "/v1/conversations/a/messages/",
                           "/v1/conversations/a/messages/0",
                           "/v1/conversations/a/messages/x",
                           "/v1/conversations/a/messages/5/",
                           "/v1/conversations/%zz/messages",
                           "/v1/conversations/a%2/messages",
                           "http://host"}) {
    EXPECT_EQ(read_target(text).resource, Resource::None) << text;
  }
}

TEST(PercentEncoding, ReadsBackWhatItWrites) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  std::string text;
  append_percent_encoded(text, bytes);
  EXPECT_EQ(percent_decode(text), bytes);
  EXPECT_EQ(percent_decode("a+b%2bc"), "a+b+c");
}

TEST(Parameters, ComeOneByOne) {
  std::string_view query = "&a=1&&b&c=%31%3d&=x&d=a=b&e=%";
  std::string seen;
  while (const auto parameter = next_parameter(query)) {
    seen.append(parameter->name).append(parameter->broken ? "!" : "=").append(parameter->value).append(";");
  }
  EXPECT_EQ(seen, "a=1;b=;c=1=;=x;d=a=b;e!;");
}

TEST(ConversationMeant, IsTheDirectOneOfBoth) {
  EXPECT_EQ(conversation_meant("dm:bob", "ann"), "dm:ann:bob");
  EXPECT_EQ(conversation_meant("dm:ann", "bob"), "dm:ann:bob");
  for (const auto* name : {"talk", "dm:ann:bob", "dm:bob:ann", "dm:", "dm:a:b:c", "dm:ann"}) {
    EXPECT_EQ(conversation_meant(name, "ann"), name);
  }
  EXPECT_EQ(conversation_meant("dm:bob", ""), "dm:bob");
  EXPECT_EQ(conversation_meant("dm:bob", "a:b"), "dm:bob");
}

}  // namespace
}  // namespace parley::bridge
