#include "storage/format/marks.hpp"

#include "storage/members.hpp"
#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using format::EntryKind;
using format::Mark;
using format::MemberAction;
using format::Role;
using test::must;

Mark at(std::uint64_t read, std::uint64_t delivered) { return {Seq{read}, Seq{delivered}}; }

/// Conversation tea, of which ann and bob are members by entries 1 and 2.
class MarksTest : public testing::Test {
 protected:
  std::string entry(std::uint64_t seq, EntryKind kind, std::string_view from, const std::string& payload = "x") {
    return format::encode_record(position(), format::EntryRecord{.conversation = tea_,
                                                                 .seq = {seq},
                                                                 .ts = {seq},
                                                                 .kind = kind,
                                                                 .from = from,
                                                                 .id = "made",
                                                                 .payload = payload});
  }
  std::string member(std::uint64_t seq, std::string_view user) {
    return entry(seq, EntryKind::Member, "ann", format::encode_change({MemberAction::Add, Role::Member, user}));
  }
  std::string message(std::uint64_t seq, std::string_view from) { return entry(seq, EntryKind::Message, from); }
  std::string marks(const std::vector<format::UserMark>& moved) {
    const std::string text = format::marks_text(moved);
    return format::encode_record(position(), format::MarksRecord{.conversation = tea_, .marks = text});
  }
  format::RecordPosition position() { return {test::kSlot, {1}, {++index_}}; }
  std::optional<Mark> find(std::string_view user) { return must(members_.find_mark(tea_, user)); }
  /// What the store lacks of it.
  std::optional<Mark> loaded(const std::string& user) {
    const auto all = must(world_.history().load("tea"));
    const auto found = all.marks.find(user);
    return found == all.marks.end() ? std::nullopt : std::optional(found->second);
  }
  std::pair<std::uint64_t, std::uint64_t> tally(std::uint64_t upto) {
    const auto found = must(members_.find_tally(tea_, Seq{upto}));
    return {found.seq.value, found.count};
  }

  test::World world_;
  ConversationNumber tea_ = world_.create("tea");
  std::uint64_t index_ = 100;
  Members members_{world_.shared_files()};
};

TEST_F(MarksTest, MoveForwardOnly) {
  world_.append({member(1, "ann"), member(2, "bob"), marks({{"ann", at(2, 2)}, {"bob", at(1, 2)}}),
                 marks({{"ann", at(1, 5)}}), marks({{"ann", at(3, 4)}})});
  EXPECT_FALSE(find("ann"));
  world_.materialise(2);
  EXPECT_EQ(find("ann"), at(3, 5));
  EXPECT_EQ(find("bob"), at(1, 2));
  EXPECT_FALSE(find("cat"));
}

TEST_F(MarksTest, ThatOfAGroupIsWhatTheLastRecordSays) {
  world_.append(
      {member(1, "ann"), marks({{"$share/g", at(0, 9)}, {"ann", at(1, 1)}}), marks({{"$share/g", at(0, 4)}})});
  EXPECT_EQ(loaded("$share/g"), at(0, 4));
  world_.materialise();
  EXPECT_EQ(find("$share/g"), at(0, 4));
  EXPECT_FALSE(loaded("$share/g"));
  world_.append({marks({{"$share/g", at(0, 0)}})});
  EXPECT_EQ(loaded("$share/g"), at(0, 0)) << "it is gone, which the store doesn't know yet";
  world_.materialise();
  EXPECT_FALSE(find("$share/g"));
  world_.append({marks({{"$share/g", at(0, 3)}}), marks({{"$share/g", at(0, 0)}}), marks({{"$share/g", at(0, 2)}})});
  world_.materialise(1, true);
  EXPECT_EQ(loaded("$share/g"), at(0, 2));
  world_.materialise();
  EXPECT_EQ(find("$share/g"), at(0, 2));
  EXPECT_EQ(find("ann"), at(1, 1));
}

TEST_F(MarksTest, AMemberHasReadWhatItSends) {
  world_.append(
      {member(1, "ann"), message(2, "ann"), message(3, "cat"), message(4, "ann"), marks({{"ann", at(3, 9)}})});
  world_.materialise();
  EXPECT_EQ(find("ann"), at(4, 9));
  EXPECT_FALSE(find("cat")) << "no member";
}

TEST_F(MarksTest, EntriesThatAreNoMessagesAreCounted) {
  world_.append({member(1, "ann"), member(2, "bob"), message(3, "ann"), member(4, "cat"), message(5, "ann")});
  world_.materialise(3);
  world_.append({message(6, "ann"), member(7, "dan")});
  world_.materialise();
  using Pair = std::pair<std::uint64_t, std::uint64_t>;
  EXPECT_EQ(tally(0), (Pair{0, 0}));
  EXPECT_EQ(tally(1), (Pair{1, 1}));
  EXPECT_EQ(tally(3), (Pair{2, 2}));
  EXPECT_EQ(tally(6), (Pair{4, 3}));
  EXPECT_EQ(tally(7), (Pair{7, 4}));
  EXPECT_EQ(tally(1'000'000), (Pair{7, 4}));
  EXPECT_EQ(must(members_.find_tally({tea_.value + 1}, Seq{5})).count, 0U) << "another conversation";
  EXPECT_EQ(must(members_.find_tally({tea_.value - 1}, Seq{5})).count, 0U);
}

TEST_F(MarksTest, WrittenTwiceChangeNothing) {
  world_.append({member(1, "ann"), message(2, "ann"), member(3, "bob"), marks({{"ann", at(3, 3)}}), message(4, "bob")});
  world_.materialise();
  const auto before = test::contents(world_.files());
  world_.overwrite(world_.files().store(), kMeta, kMetaWatermark, format::number_key(Lsn{0}));
  world_.materialise();
  EXPECT_EQ(test::contents(world_.files()), before);
}

TEST_F(MarksTest, LoadingGivesWhatTheStoreLacks) {
  world_.append({member(1, "ann"), member(2, "bob"), marks({{"bob", at(2, 2)}})});
  world_.materialise();
  world_.append({message(3, "ann"), marks({{"bob", at(3, 3)}}), member(4, "cat"), marks({{"bob", at(1, 4)}})});
  auto loaded = must(world_.history().load("tea"));
  EXPECT_EQ(loaded.marks.size(), 2U);
  EXPECT_EQ(loaded.marks["bob"], at(3, 4));
  EXPECT_EQ(loaded.marks["ann"], at(3, 3));
  ASSERT_EQ(loaded.unmaterialised.size(), 1U);
  EXPECT_EQ((*loaded.unmaterialised[0])->seq, Seq{4});
  world_.materialise();
  EXPECT_TRUE(must(world_.history().load("tea")).marks.empty());
}

TEST_F(MarksTest, AreSeenThoughNothingElseIsNew) {
  world_.append({member(1, "ann")});
  world_.materialise();
  world_.append({marks({{"ann", at(1, 1)}})});
  EXPECT_EQ(must(world_.history().load("tea")).marks.size(), 1U);
  EXPECT_EQ(must(world_.history().find_conversation("tea"))->head, Seq{1});
}

TEST(Marks, DamagedTextIsRefused) {
  const std::vector<format::UserMark> some{{"ann", at(1, 2)}, {"bob", at(3, 4)}};
  const std::string text = format::marks_text(some);
  EXPECT_EQ(format::marks_of(text), some);
  EXPECT_EQ(format::marks_of(""), std::vector<format::UserMark>());
  for (std::size_t size = 1; size < text.size(); ++size) {
    const bool whole = size == text.size() / 2;
    EXPECT_EQ(format::marks_of(std::string_view(text).substr(0, size)).has_value(), whole) << size;
  }
  EXPECT_FALSE(format::marks_of(std::string(17, '\0'))) << "nobody's";
}

}  // namespace
}  // namespace parley::storage
