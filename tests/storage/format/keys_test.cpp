#include "storage/format/keys.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace parley::format {
namespace {

constexpr HashKey kHashKey{11, 22};

TEST(Keys, SortLikeTheirNumbers) {
  const EntryPlace places[] = {{{1}, {1}}, {{1}, {2}}, {{1}, {255}}, {{1}, {256}}, {{2}, {1}}, {{1ULL << 48}, {1}}};
  for (std::size_t i = 1; i < std::size(places); ++i) {
    EXPECT_LT(entry_key(places[i - 1].conversation, places[i - 1].seq).bytes(),
              entry_key(places[i].conversation, places[i].seq).bytes());
  }
}

TEST(Keys, OfEntriesCanBeReadBack) {
  const auto place = entry_place(entry_key({7}, {9}));
  ASSERT_TRUE(place);
  EXPECT_EQ(place->conversation, ConversationNumber{7});
  EXPECT_EQ(place->seq, Seq{9});
  EXPECT_FALSE(entry_place("short"));
}

TEST(Keys, FitIntoLmdbHoweverLongTheirTextsAre) {
  for (const std::size_t size : {0U, 1U, 180U, 181U, 320U, 321U, 65535U}) {
    const std::string text(size, 'x');
    EXPECT_LE(session_key(kHashKey, text).size(), kKeySizeMax);
    EXPECT_LE(cursor_key(kHashKey, text, text).size(), kKeySizeMax);
    EXPECT_GT(session_key(kHashKey, text).size(), 0U);
  }
}

TEST(Keys, OfCursorsBeginWithTheirSessionsKeyAndWithNoOther) {
  const std::string clients[] = {
      "", "a", "ab", "abc", std::string(180, 'a'), std::string(181, 'a'), std::string(200, 'a')};
  for (const auto& client : clients) {
    for (const auto& other : clients) {
      const bool begins = cursor_key(kHashKey, client, "chat/x/msg").starts_with(session_key(kHashKey, other));
      EXPECT_EQ(begins, client == other) << client << " and " << other;
    }
  }
}

TEST(Keys, DifferWhereTheirTextsDiffer) {
  std::set<std::string> keys;
  for (const std::size_t client : {1U, 180U, 181U, 182U}) {
    for (const std::size_t topic : {1U, 320U, 321U, 322U}) {
      keys.insert(cursor_key(kHashKey, std::string(client, 'c'), std::string(topic, 't')));
    }
  }
  EXPECT_EQ(keys.size(), 16U);
}

TEST(Keys, OfIdsKeepSenderAndIdApart) {
  EXPECT_NE(id_hash(kHashKey, "ab", "c"), id_hash(kHashKey, "a", "bc"));
  EXPECT_NE(id_hash(kHashKey, "", "abc"), id_hash(kHashKey, "abc", ""));
}

}  // namespace
}  // namespace parley::format
