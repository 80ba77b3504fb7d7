#include "broker/chat/topic.hpp"

#include <gtest/gtest.h>

#include <string>

namespace parley::chat {
namespace {

TEST(ChatSubtree, IsTheRootAndAllBelow) {
  for (const std::string_view in : {"chat", "chat/", "chat/x", "chat/x/msg", "chat//"})
    EXPECT_TRUE(in_subtree("chat", in)) << in;
  for (const std::string_view out : {"", "cha", "chats", "chats/x", "/chat", "Chat/x", "$chat", "x/chat"}) {
    EXPECT_FALSE(in_subtree("chat", out)) << out;
  }
  EXPECT_TRUE(in_subtree("a/b", "a/b/c"));
  EXPECT_FALSE(in_subtree("a/b", "a/c"));
}

struct TopicCase {
  std::string_view topic;
  std::string_view conversation;  ///< Empty: no chat topic.
  Form form = Form::Message;
};
constexpr TopicCase kTopics[] = {
    {"chat/x/msg", "x", Form::Message},
    {"chat/x/json", "x", Form::Json},
    {"chat/x/typing", "x", Form::Typing},
    {"chat/x/read", "x", Form::Read},
    {"chat/x/ctl", "x", Form::Control},
    {"chat/x/history", "x", Form::History},
    {"chat/dm:a:b/msg", "dm:a:b", Form::Message},
    {"chat/two words/msg", "two words", Form::Message},
    {"chat/\xC3\xA9/msg", "\xC3\xA9", Form::Message},
    {"chat/a$b/msg", "a$b", Form::Message},
    {"chat", ""},
    {"chat/", ""},
    {"chat/x", ""},
    {"chat/x/", ""},
    {"chat//msg", ""},
    {"chat/x/MSG", ""},
    {"chat/x/message", ""},
    {"chat/x/msg/", ""},
    {"chat/x/msg/more", ""},
    {"chat/x/y/msg", ""},
    {"chat/$x/msg", ""},
    {"chat/+/msg", ""},
    {"chat/x\x01/msg", ""},
    {"chat/x\x7F/msg", ""},
    {"chats/x/msg", ""},
    {"other/x/msg", ""},
    {"", ""},
};

TEST(ChatTopic, IsReadAsTheTableSays) {
  for (const TopicCase& one : kTopics) {
    const auto topic = read_topic("chat", one.topic);
    ASSERT_EQ(topic.has_value(), !one.conversation.empty()) << one.topic;
    if (!topic) continue;
    EXPECT_EQ(topic->conversation, one.conversation);
    EXPECT_EQ(topic->form, one.form);
  }
}

TEST(ChatTopic, HoldsNamesOfUpTo128Bytes) {
  EXPECT_TRUE(read_topic("chat", "chat/" + std::string(128, 'n') + "/msg"));
  EXPECT_FALSE(read_topic("chat", "chat/" + std::string(129, 'n') + "/msg"));
}

TEST(ChatTopic, LiesBelowWhateverRoot) {
  const auto topic = read_topic("my/root", "my/root/x/msg");
  ASSERT_TRUE(topic);
  EXPECT_EQ(topic->conversation, "x");
  EXPECT_FALSE(read_topic("my/root", "my/x/msg"));
}

using Kind = StartPosition::Kind;
struct FilterCase {
  std::string_view filter;
  std::string_view topic;  ///< Empty: malformed.
  std::string_view conversation;
  Form form = Form::Message;
  Kind kind = Kind::Live;
  std::uint64_t value = 0;
};
constexpr FilterCase kFilters[] = {
    {"chat/x/msg", "chat/x/msg", "x"},
    {"chat/+/msg", "chat/+/msg", "+"},
    {"chat/+/json", "chat/+/json", "+", Form::Json},
    {"$since/0/chat/x/msg", "chat/x/msg", "x", Form::Message, Kind::Since, 0},
    {"$since/12/chat/x/json", "chat/x/json", "x", Form::Json, Kind::Since, 12},
    {"$since/18446744073709551615/chat/x/msg", "chat/x/msg", "x", Form::Message, Kind::Since, 0xFFFF'FFFF'FFFF'FFFFULL},
    {"$since/last/chat/x/msg", "chat/x/msg", "x", Form::Message, Kind::SinceLast, 0},
    {"$last/7/chat/+/msg", "chat/+/msg", "+"},
    {"$since/tea:7/chat/+/msg", "chat/+/msg", "+"},
    {"$cursor/abc/chat/+/json", "chat/+/json", "+", Form::Json},
    {"$cursor/abc/chat/x/msg", "", ""},
    {"$cursor/chat/+/msg", "", ""},
    {"$since/18446744073709551616/chat/x/msg", "", ""},
    {"$since/-1/chat/x/msg", "", ""},
    {"$since/+1/chat/x/msg", "", ""},
    {"$since/1a/chat/x/msg", "", ""},
    {"$since/ 1/chat/x/msg", "", ""},
    {"$since//chat/x/msg", "", ""},
    {"$since/+/chat/x/msg", "", ""},
    {"$since/chat/x/msg", "", ""},
    {"$since/5", "", ""},
    {"$since/5/", "", ""},
    {"$since/5/other/x/msg", "", ""},
    {"$since/5/$since/6/chat/x/msg", "", ""},
    {"$since/5/$last/6/chat/x/msg", "", ""},
    {"$last/last/chat/x/msg", "", ""},
    {"chat/#", "", ""},
    {"chat/x/#", "", ""},
    {"chat/x/+", "", ""},
    {"chat/+/+", "", ""},
    {"chat/x/bad", "", ""},
    {"chat", "", ""},
};

TEST(ChatFilter, IsReadAsTheTableSays) {
  for (const FilterCase& one : kFilters) {
    EXPECT_TRUE(is_chat_filter("chat", one.filter)) << one.filter;
    const auto filter = read_filter("chat", one.filter);
    ASSERT_EQ(filter.has_value(), !one.topic.empty()) << one.filter;
    if (!filter) continue;
    EXPECT_EQ(filter->topic, one.topic) << one.filter;
    EXPECT_EQ(filter->parts.conversation, one.conversation) << one.filter;
    EXPECT_EQ(filter->parts.form, one.form) << one.filter;
    EXPECT_EQ(filter->start.kind, one.kind) << one.filter;
    EXPECT_EQ(filter->start.value, one.value) << one.filter;
  }
}

TEST(ChatFilter, LeavesOthersToOrdinaryRouting) {
  for (const std::string_view filter :
       {"#", "+/x/msg", "a", "$SYS/#", "$sinc/5/chat/x/msg", "$since", "$last", "chats/x/msg"}) {
    EXPECT_FALSE(is_chat_filter("chat", filter)) << filter;
  }
}

TEST(Decimal, IsDigitsAndNothingElse) {
  EXPECT_EQ(read_decimal("0"), 0U);
  EXPECT_EQ(read_decimal("007"), 7U);
  EXPECT_EQ(read_decimal("18446744073709551615"), 0xFFFF'FFFF'FFFF'FFFFULL);
  for (const std::string_view bad :
       {"", " ", "-1", "+1", "1 ", " 1", "0x1", "1.0", "1e3", "18446744073709551616", "9999999999999999999999"}) {
    EXPECT_EQ(read_decimal(bad), std::nullopt) << bad;
  }
}

TEST(StartPosition, IsANumberOrTheLastOne) {
  EXPECT_EQ(read_since("5")->kind, Kind::Since);
  EXPECT_EQ(read_since("5")->value, 5U);
  EXPECT_EQ(read_since("last")->kind, Kind::SinceLast);
  EXPECT_FALSE(read_since("LAST"));
  EXPECT_FALSE(read_since(""));
  EXPECT_EQ(read_last("5")->kind, Kind::Last);
  EXPECT_FALSE(read_last("last"));
}

}  // namespace
}  // namespace parley::chat
