#include "base/output.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

namespace parley {
namespace {

std::string content(const Output& output) {
  std::array<iovec, 4'096> pieces;
  std::string all;
  const std::size_t count = output.gather(pieces);
  for (std::size_t i = 0; i < count; ++i) all.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  return all;
}

TEST(Output, OwnsNothingAtFirst) {
  Output output;
  EXPECT_TRUE(output.empty());
  EXPECT_EQ(output.size(), 0U);
  std::array<iovec, 2> pieces;
  EXPECT_EQ(output.gather(pieces), 0U);
  output.consume(0);
  output.clear();
  EXPECT_LE(sizeof(Output), 24U);
}

TEST(Output, SpreadsLongPiecesOverBlocks) {
  const std::string text(3 * BlockPool::kBlockSize + 5, 'x');
  Output output;
  output.append("head");
  output.append({});
  output.append(text);
  EXPECT_EQ(output.size(), 4 + text.size());
  EXPECT_EQ(content(output), "head" + text);
  std::array<iovec, 2> pieces;
  EXPECT_EQ(output.gather(pieces), 2U);
  EXPECT_EQ(pieces[0].iov_len, BlockPool::kBlockSize);
}

TEST(Output, ExtendsInOnePiece) {
  Output output;
  output.append(std::string(BlockPool::kBlockSize - 1, 'a'));
  char* place = output.extend(2);
  place[0] = 'b';
  place[1] = 'c';
  EXPECT_EQ(output.size(), BlockPool::kBlockSize + 1);
  EXPECT_EQ(content(output), std::string(BlockPool::kBlockSize - 1, 'a') + "bc");
  std::string whole(BlockPool::kBlockSize, 'd');
  std::memcpy(output.extend(whole.size()), whole.data(), whole.size());
  EXPECT_EQ(content(output).substr(BlockPool::kBlockSize + 1), whole);
}

TEST(Output, MovesWithItsBytes) {
  Output from;
  from.append("one");
  Output to(std::move(from));
  EXPECT_EQ(content(to), "one");
  Output other;
  other.append("two");
  other = std::move(to);
  EXPECT_EQ(content(other), "one");
  Output& self = other;
  other = std::move(self);
  EXPECT_LE(other.size(), 3U);
}

TEST(Output, GivesBlocksBackToItsThread) {
  auto& pool = BlockPool::local();
  char* block = pool.take();
  pool.give(block);
  EXPECT_EQ(pool.take(), block);
  pool.give(block);
  Output output;
  output.append("x");
  std::array<iovec, 1> pieces;
  output.gather(pieces);
  EXPECT_EQ(pieces[0].iov_base, block);
  output.consume(1);
  EXPECT_EQ(pool.take(), block);
  pool.give(block);
  // Also when another output takes its place.
  output.append("x");
  output = Output();
  EXPECT_EQ(pool.take(), block);
  pool.give(block);
}

TEST(OutputDeathTest, StopsWhenMoreIsConsumedThanThereIs) {
  Output output;
  output.append("abc");
  EXPECT_DEATH(output.consume(4), "more bytes were consumed");
}

TEST(Output, AgreesWithAString) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    Output output;
    std::string expected;
    char next = 'a';
    for (int step = 0; step < 300; ++step) {
      const std::size_t size = random() % (random() % 5 == 0 ? BlockPool::kBlockSize : 300);
      const std::string text(size, next);
      next = next == 'z' ? 'a' : static_cast<char>(next + 1);
      switch (random() % 4) {
        case 0:
          output.append(text);
          expected += text;
          break;
        case 1:
          std::memcpy(output.extend(size), text.data(), size);
          expected += text;
          break;
        default: {
          const std::size_t count = random() % (expected.size() + 1);
          output.consume(count);
          expected.erase(0, count);
        }
      }
      ASSERT_EQ(output.size(), expected.size()) << "seed " << seed;
      ASSERT_EQ(output.empty(), expected.empty());
      ASSERT_EQ(content(output), expected) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace parley
