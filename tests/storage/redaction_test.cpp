#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "storage/log_places.hpp"
#include "storage/log_reader.hpp"
#include "storage/purge.hpp"
#include "tests/storage/world.hpp"

/// Edits and redactions on disk: what readers see of a message, and what is left of it. docs/formats/store.md.
namespace parley::storage {
namespace {

using test::contents;
using test::must;
using test::Records;
using test::World;

/// "seq kind [text]", with what has happened to it.
std::vector<std::string> shown(World& world, ConversationNumber number) {
  std::vector<std::string> list;
  for (const auto& entry : must(world.history().read(number, {{1}, {1'000}}, {}, Direction::Ascending)).entries) {
    const format::EntryRecord& record = **entry;
    std::string text = std::to_string(record.seq.value) + ' ' + std::string(format::name_of(record.kind));
    if (!record.payload.empty()) text += ' ' + std::string(record.payload);
    if (record.edited) text += " edited";
    if (record.redacted) text += " redacted";
    list.push_back(text);
  }
  return list;
}

const std::vector<std::string> kShown{
    "1 message one", "2 message second try edited", "3 message redacted", "4 edit redacted",    "5 edit second",
    "6 redact",      "7 edit second try",           "8 message eight",    "9 message redacted", "10 redact"};

/// A conversation with a bit of everything, one record a commit.
ConversationNumber fill(
    World& world, const std::function<void()>& after_each = [] {}) {
  Records& records = world.records();
  const ConversationNumber number = world.create("tea");
  const auto say = [&](std::uint64_t seq, const char* text) {
    world.append({records.entry(number, {seq}, Records::time_of({seq}), "ann", Records::id_of({seq}), text)});
    after_each();
  };
  const auto append = [&](std::string record) {
    world.append({std::move(record)});
    after_each();
  };
  say(1, "one");
  say(2, "two");
  say(3, "unspeakable");
  append(records.edit(number, {4}, {3}, "unspeakable as well"));
  append(records.edit(number, {5}, {2}, "second"));
  append(records.redact(number, {6}, {3}));
  append(records.edit(number, {7}, {2}, "second try"));
  say(8, "eight");
  say(9, "unspeakable too");
  append(records.redact(number, {10}, {9}));
  return number;
}

TEST(Redactions, AreShownTheSameFromTheLogAndFromTheStore) {
  for (std::size_t materialised = 0; materialised <= 12; ++materialised) {
    World world;
    const ConversationNumber number = fill(world);
    if (materialised != 0) world.materialise(materialised, true);
    EXPECT_EQ(shown(world, number), kShown) << materialised << " records are in the store";
    world.materialise();
    EXPECT_EQ(shown(world, number), kShown);
    world.reopen();
    EXPECT_EQ(shown(world, number), kShown);
  }
}

TEST(Redactions, AreSeenByAReaderWhoFollows) {
  World world;
  std::size_t materialised = 0;
  const ConversationNumber number = fill(world, [&] {
    must(world.history().follow());
    if (++materialised % 3 == 0) world.materialise();
  });
  EXPECT_EQ(shown(world, number), kShown);
  const auto descending = must(world.history().read(number, {{1}, {9}}, {}, Direction::Descending));
  EXPECT_TRUE((*descending.entries.front())->redacted);
  EXPECT_EQ((*descending.entries.back())->payload, "one");
}

TEST(Redactions, ComeToTheSameStoreInBatchesOfAnySize) {
  World whole;
  fill(whole);
  whole.materialise();
  for (const std::size_t records : {1U, 2U, 3U, 7U}) {
    World world;
    world.overwrite(world.files().store(), kMeta, kMetaHashKey,
                    whole.stored(whole.files().store(), kMeta, kMetaHashKey));
    world.reopen();
    fill(world);
    world.materialise(records);
    EXPECT_EQ(contents(world.files()), contents(whole.files())) << records << " a batch";
  }
}

TEST(Redactions, KeepTheSizeOfARecordAndItsPlace) {
  Records records;
  std::string bytes = records.entry({9}, {4}, {5}, "ann", "i4", "some text");
  const auto before = must(format::decode_record(bytes));
  std::string stub = bytes;
  format::redact_record(stub, {7});
  ASSERT_EQ(stub.size(), bytes.size());
  EXPECT_EQ(stub.find("text"), std::string::npos);
  const auto after = must(format::decode_record(stub));
  EXPECT_EQ(after.position, before.position);
  const auto& entry = std::get<format::EntryRecord>(after.body);
  EXPECT_TRUE(entry.redacted);
  EXPECT_EQ(entry.ref, Seq{7});
  EXPECT_EQ(entry.from, "ann");
  EXPECT_EQ(entry.id, "i4");
  EXPECT_TRUE(entry.id_from_client);
  EXPECT_TRUE(entry.payload.empty());
}

// -- What is left on the disk --

bool is_in(const std::string& directory, const std::string& text) {
  for (const auto& file : std::filesystem::recursive_directory_iterator(directory)) {
    if (!file.is_regular_file()) continue;
    std::ifstream stream(file.path(), std::ios::binary);
    std::ostringstream bytes;
    bytes << stream.rdbuf();
    if (bytes.str().find(text) != std::string::npos) return true;
  }
  return false;
}

/// True when a pass ended; false after `steps_max` steps.
bool purge(Purge& purge, int steps_max = 10'000) {
  for (int i = 0; i < steps_max; ++i) {
    const auto progress = must(purge.step());
    if (progress == Purge::Progress::Finished || progress == Purge::Progress::Idle) return true;
  }
  return false;
}

TEST(Purge, HasNothingToDoWithoutRedactions) {
  World world;
  Purge purge(world.shared_files());
  EXPECT_TRUE(purge.is_due()) << "until it has looked";
  EXPECT_EQ(must(purge.step()), Purge::Progress::Idle);
  EXPECT_FALSE(purge.is_due());
}

TEST(Purge, LeavesNothingOfWhatWasRedacted) {
  World world;
  const ConversationNumber number = fill(world, [&] { world.materialise(); });
  EXPECT_TRUE(is_in(world.directory(), "unspeakable")) << "else this shows nothing";
  Purge purging(world.shared_files());
  ASSERT_TRUE(purge(purging));
  EXPECT_EQ(purging.entries(), 3U);
  EXPECT_FALSE(is_in(world.directory(), "unspeakable"));
  EXPECT_EQ(must(purging.step()), Purge::Progress::Idle);
  EXPECT_EQ(shown(world, number), kShown);
  world.reopen();
  EXPECT_EQ(shown(world, number), kShown);
}

TEST(Purge, BeginsAgainAfterARestartAtAnyStep) {
  for (int steps = 0; steps < 40; ++steps) {
    World world;
    const ConversationNumber number = fill(world, [&] { world.materialise(); });
    bool finished = false;
    {
      Purge purging(world.shared_files());
      finished = purge(purging, steps);
    }
    world.reopen();
    {
      Purge purging(world.shared_files());
      ASSERT_TRUE(purge(purging));
    }
    EXPECT_FALSE(is_in(world.directory(), "unspeakable")) << steps;
    EXPECT_EQ(shown(world, number), kShown);
    if (finished) return;
  }
  FAIL() << "a pass takes more steps than that";
}

TEST(Purge, TakesTheRecordsOutOfTheLogThatOtherReplicasRead) {
  World world;
  world.keep_commit_indexes();
  fill(world);
  world.commit(11);
  world.materialise();
  Purge purging(world.shared_files());
  ASSERT_TRUE(purge(purging));
  LogPlaces places;
  LogReader reader(world.shared_files(), places);
  const auto records = must(reader.read(test::kSlot, {4}, {11}, 1 << 20));
  ASSERT_EQ(records.size(), 8U);
  const auto third = must(format::decode_record(records.front()));
  EXPECT_TRUE(std::get<format::EntryRecord>(third.body).redacted);
  // A replica that gets them so comes to the same.
  World other;
  other.append({other.records().conversation("tea")});
}

TEST(Purge, TakesWhatWasReplacedInTheLogAsWell) {
  World world;
  world.keep_commit_indexes();
  Records& records = world.records();
  const ConversationNumber number = world.create("tea");
  world.append({records.entry(number, {1}, {1'000}, "ann", "i1", "unspeakable, and never committed")});
  records.go_on_at(Term{2}, Index{2});
  world.append({records.no_op(), records.entry(number, {1}, {1'000}, "ann", "i1", "unspeakable, sent again")});
  world.append({records.redact(number, {2}, {1})});
  world.commit(4);
  world.materialise();
  Purge purging(world.shared_files());
  ASSERT_TRUE(purge(purging));
  EXPECT_FALSE(is_in(world.directory(), "unspeakable"));
}

TEST(Purge, GoesWellWithPublishersInBetween) {
  std::mt19937 random(5);
  World world;
  Records& records = world.records();
  const ConversationNumber number = world.create("tea");
  std::uint64_t head = 0;
  const auto say = [&](const std::string& text) {
    ++head;
    world.append({records.entry(number, {head}, Records::time_of({head}), "ann", Records::id_of({head}), text)});
  };
  Purge purging(world.shared_files());
  std::vector<std::uint64_t> secrets;
  for (int round = 0; round < 30; ++round) {
    for (std::size_t i = 0; i < random() % 40; ++i) say("words and words " + std::string(random() % 5'000, 'w'));
    say("unspeakable " + std::string(random() % 5'000, 's'));
    secrets.push_back(head);
    if (random() % 3 == 0) world.materialise();
    for (std::size_t i = random() % 3; i > 0; --i) must(purging.step());
    if (random() % 2 != 0) continue;
    for (const std::uint64_t seq : std::exchange(secrets, {})) {
      ++head;
      world.append({records.redact(number, {head}, {seq})});
    }
    world.materialise();
    purging.wanted();
  }
  for (const std::uint64_t seq : secrets) {
    ++head;
    world.append({records.redact(number, {head}, {seq})});
  }
  world.materialise();
  purging.wanted();
  while (must(purging.step()) != Purge::Progress::Idle) {
  }
  EXPECT_FALSE(is_in(world.directory(), "unspeakable"));
  const auto page = must(world.history().read(number, {{1}, {head}}, {.entries_max = 10'000, .bytes_max = 1U << 30},
                                              Direction::Ascending));
  EXPECT_EQ(page.entries.size(), head);
  EXPECT_TRUE(page.corrupt.empty());
}

}  // namespace
}  // namespace parley::storage
