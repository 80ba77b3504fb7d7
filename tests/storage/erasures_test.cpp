#include "storage/erasures.hpp"

#include "storage/members.hpp"
#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using format::EntryKind;
using format::ErasureState;
using format::Mark;
using format::MemberAction;
using format::Role;
using test::kSlot;
using test::must;

/// Conversation tea, of which ann and bob are members by entries 1 and 2, and milk, of which nobody is.
class ErasuresTest : public testing::Test {
 protected:
  format::RecordPosition position() { return {kSlot, {1}, {++index_}}; }
  std::string entry(ConversationNumber number, std::uint64_t seq, std::string_view from,
                    EntryKind kind = EntryKind::Message, const std::string& payload = "x", std::uint64_t ref = 0) {
    return format::encode_record(position(), format::EntryRecord{.conversation = number,
                                                                 .seq = {seq},
                                                                 .ts = {seq},
                                                                 .kind = kind,
                                                                 .ref = {ref},
                                                                 .from = from,
                                                                 .id = "made",
                                                                 .payload = payload});
  }
  std::string member(std::uint64_t seq, std::string_view user) {
    return entry(tea_, seq, "ann", EntryKind::Member, format::encode_change({MemberAction::Add, Role::Member, user}));
  }
  std::string marks(ConversationNumber number, const std::vector<format::UserMark>& moved) {
    const std::string text = format::marks_text(moved);
    return format::encode_record(position(), format::MarksRecord{.conversation = number, .marks = text});
  }
  std::string erasure(std::uint64_t started, ErasureState state, ConversationNumber number = {},
                      std::uint64_t seq = 0) {
    return format::encode_record(
        position(), format::ErasureRecord{
                        .user = "ann", .started = {started}, .state = state, .conversation = number, .seq = {seq}});
  }
  std::string user_conversation(bool present, std::uint64_t changed) {
    return format::encode_record(position(), format::UserConversationRecord{.user = "ann",
                                                                            .present = present,
                                                                            .conversation = tea_,
                                                                            .epoch = {7},
                                                                            .changed = {changed},
                                                                            .name = "tea"});
  }
  std::vector<StoredErasure> list() { return must(erasures_.list(kSlot)); }
  std::size_t conversations_of_ann() {
    ReadTransaction store(world_.files().store());
    const ReadScope scope(store);
    std::vector<format::UserConversation> list;
    EXPECT_TRUE(read_user_conversations(store, "ann", list));
    return list.size();
  }
  Erasures::Page find(ConversationNumber from, std::uint64_t seq, std::size_t rows, std::size_t messages) {
    return must(erasures_.find({.slot = kSlot,
                                .user = "ann",
                                .conversation = from,
                                .seq = {seq},
                                .rows_max = rows,
                                .messages_max = messages}));
  }

  test::World world_;
  ConversationNumber tea_ = world_.create("tea");
  ConversationNumber milk_ = world_.create("milk");
  std::uint64_t index_ = 100;
  Erasures erasures_{world_.shared_files()};
  Members members_{world_.shared_files()};
};

TEST_F(ErasuresTest, GoForwardOnlyAndMayBeginAnew) {
  world_.append({erasure(5, ErasureState::Open), erasure(5, ErasureState::Open, milk_, 3)});
  world_.materialise(1);
  ASSERT_EQ(list().size(), 1U);
  EXPECT_EQ(list()[0].conversation, milk_);
  EXPECT_EQ(list()[0].seq, Seq{3});
  world_.append({erasure(5, ErasureState::Open, tea_, 9), erasure(4, ErasureState::Done)});
  world_.materialise(1);
  EXPECT_EQ(list()[0].conversation, milk_) << "what is behind, or of an earlier one, changes nothing";
  world_.append({erasure(5, ErasureState::Done)});
  world_.materialise(1);
  EXPECT_EQ(list()[0].state, ErasureState::Done);
  world_.append({erasure(6, ErasureState::Open)});
  world_.materialise(1);
  EXPECT_EQ(list()[0].state, ErasureState::Open);
  EXPECT_EQ(list()[0].started, Timestamp{6});
  world_.append({erasure(6, ErasureState::Forgotten)});
  world_.materialise(1);
  EXPECT_TRUE(list().empty());
  EXPECT_TRUE(must(erasures_.list(std::nullopt)).empty());
}

TEST_F(ErasuresTest, FindMessagesAndMembershipInPieces) {
  std::vector<std::string> records{member(1, "ann"), member(2, "bob")};
  for (std::uint64_t seq = 3; seq <= 12; ++seq) records.push_back(entry(tea_, seq, seq % 2 == 0 ? "ann" : "bob"));
  records.push_back(entry(milk_, 1, "ann"));
  world_.append(records);
  world_.append({entry(tea_, 13, "ann", EntryKind::Redact, "", 4)});
  world_.materialise();
  auto page = find({}, 0, 1'000, 1'000);
  ASSERT_EQ(page.found.size(), 2U);
  EXPECT_EQ(page.conversation, ConversationNumber{});
  EXPECT_EQ(page.found[0].name, "tea");
  EXPECT_TRUE(page.found[0].is_member);
  EXPECT_EQ(page.found[0].messages, (std::vector<Seq>{{6}, {8}, {10}, {12}}));
  EXPECT_FALSE(page.found[1].is_member);
  EXPECT_EQ(page.found[1].messages, (std::vector<Seq>{{1}}));
  // However small the pieces, everything is come across.
  for (const std::size_t rows : {2U, 3U, 7U}) {
    std::set<std::pair<std::string, Seq>> all;
    ConversationNumber from;
    std::uint64_t seq = 0;
    int pieces = 0;
    do {
      page = find(from, seq, rows, 2);
      for (const auto& one : page.found) {
        for (const Seq message : one.messages) all.insert({one.name, message});
      }
      from = page.conversation;
      seq = page.seq.value;
    } while (from != ConversationNumber{} && ++pieces < 100);
    EXPECT_EQ(all.size(), 5U) << rows;
  }
}

TEST_F(ErasuresTest, ForgetMarksOfWhatIsDone) {
  world_.append({member(1, "ann"), member(2, "bob"), marks(tea_, {{"ann", {{2}, {2}}}, {"bob", {{1}, {1}}}}),
                 marks(milk_, {{"ann", {{3}, {3}}}})});
  world_.materialise();
  world_.append({erasure(5, ErasureState::Open)});
  world_.materialise();
  EXPECT_TRUE(must(members_.find_mark(tea_, "ann")));
  world_.append({erasure(5, ErasureState::Open, milk_, 1)});
  world_.materialise();
  EXPECT_FALSE(must(members_.find_mark(tea_, "ann")));
  EXPECT_TRUE(must(members_.find_mark(milk_, "ann")));
  EXPECT_TRUE(must(members_.find_mark(tea_, "bob")));
  world_.append({erasure(5, ErasureState::Done)});
  world_.materialise();
  EXPECT_FALSE(must(members_.find_mark(milk_, "ann")));
}

TEST_F(ErasuresTest, ForgetTheUsersConversationsInTheEnd) {
  world_.append({user_conversation(true, 1), erasure(5, ErasureState::Open), erasure(5, ErasureState::Done)});
  world_.materialise(1);
  EXPECT_EQ(conversations_of_ann(), 1U);
  world_.append({erasure(5, ErasureState::Finished)});
  world_.materialise(1);
  EXPECT_EQ(conversations_of_ann(), 0U);
  world_.append({user_conversation(false, 2)});
  world_.materialise(1);
  EXPECT_EQ(conversations_of_ann(), 0U) << "told late that ann has left";
  world_.append({user_conversation(true, 3)});
  world_.materialise(1);
  EXPECT_EQ(conversations_of_ann(), 1U) << "somebody of that name has come again";
}

TEST_F(ErasuresTest, FindSessionsInPieces) {
  world_.append(
      {world_.records().session("c1", "s"), world_.records().session("c2", "s"), world_.records().session("c3", "s")});
  world_.materialise();
  std::vector<std::string> all;
  std::string from;
  do {
    const auto page = must(erasures_.sessions("ann", from, 1));
    all.insert(all.end(), page.client_ids.begin(), page.client_ids.end());
    from = page.next;
  } while (!from.empty());
  EXPECT_EQ(all, (std::vector<std::string>{"c1", "c2", "c3"}));
  EXPECT_TRUE(must(erasures_.sessions("bob", "", 100)).client_ids.empty());
}

}  // namespace
}  // namespace parley::storage
