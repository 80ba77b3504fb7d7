#include "json/entry_json.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include <random>
#include <string>

#include "base/base64.hpp"
#include "mqtt/properties.hpp"

namespace parley::json {
namespace {

std::string string(std::string_view text) {
  std::string to;
  append_string(to, text);
  return to;
}

std::string base64(std::string_view bytes) {
  std::string to;
  append_base64(to, bytes);
  return to;
}

TEST(JsonString, EscapesWhatRfc8259Demands) {
  struct Case {
    std::string_view text;
    std::string_view json;
  };
  using namespace std::string_view_literals;
  for (const Case& one :
       {Case{"", R"("")"}, Case{"a", R"("a")"}, Case{R"(say "hi")", R"("say \"hi\"")"}, Case{R"(a\b)", R"("a\\b")"},
        Case{"a\nb", R"("a\nb")"}, Case{"\t", R"("\u0009")"}, Case{"\x1F", R"("\u001f")"}, Case{"\0"sv, R"("\u0000")"},
        Case{"\x7F", "\"\x7F\""}, Case{"/", R"("/")"}, Case{"\xC3\xA9\xF0\x9F\x98\x80", "\"\xC3\xA9\xF0\x9F\x98\x80\""},
        Case{"\xE2\x80\xA8", "\"\xE2\x80\xA8\""}, Case{"\"", R"("\"")"}, Case{"\"\"", R"("\"\"")"}}) {
    EXPECT_EQ(string(one.text), one.json);
  }
}

TEST(JsonString, IsReadBackWhateverIsInIt) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (std::uint64_t left = random() % 30; left > 0; --left) {
      text += random() % 8 == 0 ? "\xE2\x82\xAC" : std::string(1, static_cast<char>(random() % 128));
    }
    const auto value = boost::json::parse(string(text));
    ASSERT_EQ(std::string(value.as_string()), text);
  }
}

TEST(Base64, HasTheVectorsOfRfc4648) {
  // §10
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xFF\xFE\xFD"), "//79");
  EXPECT_EQ(base64(std::string(3, '\0')), "AAAA");
}

std::string entry(const format::EntryRecord& record) {
  std::string to;
  append_entry(to, record);
  return to;
}

TEST(EntryJson, HasItsMembersInOrder) {
  EXPECT_EQ(entry({.seq = {7}, .ts = {1'700'000'000'123}, .from = "ann", .id = "i1", .payload = "hi \"all\""}),
            R"({"seq":7,"ts":1700000000123,"id":"i1","from":"ann","kind":"message","text":"hi \"all\""})");
}

TEST(EntryJson, GivesBytesThatAreNoTextAsData) {
  EXPECT_EQ(entry({.seq = {1}, .from = "a", .id = "i", .payload = "\xFF\x00"}),
            R"({"seq":1,"ts":0,"id":"i","from":"a","kind":"message","data":"/w=="})");
  EXPECT_EQ(entry({.seq = {1}, .from = "a", .id = "i", .payload = ""}),
            R"({"seq":1,"ts":0,"id":"i","from":"a","kind":"message","text":""})");
}

TEST(EntryJson, GivesContentTypeUserPropertiesAndReference) {
  mqtt::PropertyWriter writer;
  writer.integer(mqtt::PropertyId::PayloadFormatIndicator, 1)
      .user("a", "1")
      .text(mqtt::PropertyId::ContentType, "text/plain")
      .text(mqtt::PropertyId::CorrelationData, "\xFF")
      .user("a", "\"2\"");
  EXPECT_EQ(entry({.seq = {9},
                   .kind = format::EntryKind::Edit,
                   .ref = {4},
                   .from = "a",
                   .id = "i",
                   .properties = writer.bytes(),
                   .payload = "x"}),
            R"({"seq":9,"ts":0,"id":"i","from":"a","kind":"edit","text":"x","content_type":"text/plain",)"
            R"("props":[["a","1"],["a","\"2\""]],"ref":4})");
}

TEST(EntryJson, NamesEveryKind) {
  using format::EntryKind;
  for (const EntryKind kind :
       {EntryKind::Message, EntryKind::Edit, EntryKind::Redact, EntryKind::Member, EntryKind::Settings}) {
    const auto value = boost::json::parse(entry({.seq = {1}, .kind = kind, .from = "a", .id = "i"}));
    EXPECT_EQ(std::string(value.at("kind").as_string()), format::name_of(kind));
  }
}

TEST(EntryJson, HoldsTheLargestNumbers) {
  const auto value = boost::json::parse(
      entry({.seq = {0xFFFF'FFFF'FFFF'FFFF}, .ts = {0xFFFF'FFFF'FFFF'FFFF}, .from = "a", .id = "i"}));
  EXPECT_EQ(value.at("seq").as_uint64(), 0xFFFF'FFFF'FFFF'FFFF);
  EXPECT_EQ(value.at("ts").as_uint64(), 0xFFFF'FFFF'FFFF'FFFF);
}

TEST(Draft, HasATextAndPerhapsAnId) {
  const auto plain = read_draft(R"({"text":"hi"})");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->text, "hi");
  EXPECT_EQ(plain->id, std::nullopt);
  const auto full = read_draft(R"( {"id":"i1", "other":[1,{}], "text":"\u00e9\n\ud83d\ude00"} )");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->text, "\xC3\xA9\n\xF0\x9F\x98\x80");
  EXPECT_EQ(full->id, "i1");
  EXPECT_EQ(read_draft(R"({"text":""})")->text, "");
}

TEST(Draft, OfAnotherShapeIsRefused) {
  for (const std::string_view bad : {"",
                                     " ",
                                     "null",
                                     "1",
                                     "[]",
                                     "\"text\"",
                                     "{}",
                                     R"({"text":1})",
                                     R"({"text":null})",
                                     R"({"Text":"x"})",
                                     R"({"text":"x","id":5})",
                                     R"({"text":"x","id":null})",
                                     R"({"text":"x")",
                                     R"({"text":"x"} x)",
                                     R"({"text":"x",})",
                                     R"({'text':'x'})",
                                     R"({"text":"\ud800"})",
                                     "{\"text\":\"\xFF\"}",
                                     "{\"text\":\"a\nb\"}",
                                     R"({"text":"x"}{"text":"y"})"}) {
    const auto draft = read_draft(bad);
    ASSERT_FALSE(draft) << bad;
    EXPECT_EQ(draft.error(), std::errc::invalid_argument) << bad;
  }
}

TEST(Draft, MayNotNestWithoutEnd) {
  const auto nested = [](std::size_t depth) {
    return R"({"text":"x","a":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_TRUE(read_draft(nested(10)));
  EXPECT_FALSE(read_draft(nested(20)));
  EXPECT_FALSE(read_draft(nested(100'000)));
}

TEST(Draft, TakesTheLastOfMembersThatStandTwice) { EXPECT_EQ(read_draft(R"({"text":"a","text":"b"})")->text, "b"); }

}  // namespace
}  // namespace parley::json
