#include "bridge/page.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace parley::bridge {
namespace {

constexpr auto kUp = PageDirection::Ascending;
constexpr auto kDown = PageDirection::Descending;

PageRange seqs(std::uint64_t first, std::uint64_t last) { return {.first = {first}, .last = {last}}; }
Extent extent(std::uint64_t oldest, std::uint64_t head) { return {.oldest = {oldest}, .head = {head}}; }

TEST(PageRange, FollowsDirectionEdgeAndLimit) {
  struct Case {
    Window window;
    Extent extent;
    std::uint32_t limit;
    PageRange expected;
  };
  const Case cases[] = {
      {{}, extent(1, 100), 10, seqs(91, 100)},
      {{}, extent(1, 5), 10, seqs(1, 5)},
      {{}, extent(98, 100), 10, seqs(98, 100)},
      {{.direction = kDown, .edge = {50}}, extent(1, 100), 10, seqs(40, 49)},
      {{.direction = kDown, .edge = {5}}, extent(1, 100), 10, seqs(1, 4)},
      {{.direction = kDown, .edge = {50}, .floor = {44}}, extent(1, 100), 10, seqs(45, 49)},
      {{.direction = kUp, .edge = {0}}, extent(1, 100), 10, seqs(1, 10)},
      {{.direction = kUp, .edge = {95}}, extent(1, 100), 10, seqs(96, 100)},
      {{.direction = kUp, .edge = {10}, .floor = {10}, .ceiling = {15}}, extent(1, 100), 10, seqs(11, 14)},
      {{.direction = kUp, .edge = {0}}, extent(1, 1), 1, seqs(1, 1)},
  };
  for (const auto& page : cases) EXPECT_EQ(page_range(page.window, page.extent, page.limit), page.expected);
}

TEST(PageRange, IsEmptyWhereNothingIs) {
  for (const Window& window :
       {Window{.direction = kUp, .edge = {100}}, Window{.direction = kUp, .edge = {200}},
        Window{.direction = kUp, .edge = kNoCeiling}, Window{.direction = kDown, .edge = {1}},
        Window{.direction = kDown, .edge = {0}}, Window{.direction = kUp, .edge = {9}, .floor = {9}, .ceiling = {10}},
        Window{.direction = kUp, .edge = {9}, .floor = {9}, .ceiling = {0}},
        Window{.direction = kDown, .edge = {9}, .floor = kNoCeiling}}) {
    EXPECT_TRUE(page_range(window, extent(1, 100), 10).empty());
  }
  EXPECT_TRUE(page_range({}, extent(1, 0), 10).empty());
  EXPECT_TRUE(page_range({}, extent(101, 100), 10).empty()) << "retention has taken everything";
}

TEST(Reach, TellsRemovedFromUnknownPositions) {
  struct Case {
    Window window;
    Extent extent;
    Reach expected;
  };
  const Case cases[] = {
      {{}, extent(51, 100), Reach::Within},
      {{.direction = kUp, .edge = {50}}, extent(51, 100), Reach::Within},
      {{.direction = kUp, .edge = {49}}, extent(51, 100), Reach::BelowRetention},
      {{.direction = kUp, .edge = {0}}, extent(1, 100), Reach::Within},
      {{.direction = kUp, .edge = {0}}, extent(51, 100), Reach::BelowRetention},
      {{.direction = kUp, .edge = {100}}, extent(1, 100), Reach::Within},
      {{.direction = kUp, .edge = {101}}, extent(1, 100), Reach::BeyondHead},
      {{.direction = kDown, .edge = {101}}, extent(1, 100), Reach::Within},
      {{.direction = kDown, .edge = {102}}, extent(1, 100), Reach::BeyondHead},
      {{.direction = kDown, .edge = {51}}, extent(51, 100), Reach::BelowRetention},
      {{.direction = kDown, .edge = {52}}, extent(51, 100), Reach::Within},
      {{.direction = kDown, .edge = {1}}, extent(51, 100), Reach::Within},
      {{.direction = kDown, .edge = {1}}, extent(1, 100), Reach::Within},
      {{.direction = kDown, .edge = {0}}, extent(1, 0), Reach::Within},
      {{.direction = kUp, .edge = {0}}, extent(1, 0), Reach::Within},
      {{.direction = kUp, .edge = kNoCeiling}, extent(1, 0), Reach::BeyondHead},
  };
  for (const auto& reach : cases)
    EXPECT_EQ(reach_of(reach.window, reach.extent), reach.expected) << reach.window.edge.value;
}

TEST(Neighbours, LeadEverywhereExactlyOnce) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 2'000; ++round) {
    const std::uint64_t oldest = 1 + random() % 20;
    const Extent has = extent(oldest, oldest - 1 + random() % 60);
    const std::uint64_t after = random() % 80;
    const std::uint64_t before = after + random() % 80;
    const auto limit = static_cast<std::uint32_t>(1 + random() % 10);
    const bool bounded = random() % 2 == 0;
    Window window{.direction = kUp, .edge = {after}};
    if (bounded) window.floor = {after}, window.ceiling = {before};
    const std::uint64_t lowest = bounded ? std::max(after + 1, oldest) : oldest;
    const std::uint64_t highest = bounded ? std::min(before - (before > 0 ? 1 : 0), has.head.value) : has.head.value;

    std::vector<std::uint64_t> seen;
    const PageRange start = page_range(window, has, limit);
    PageRange range = start;
    std::optional<Window> next = window;
    while (next) {
      range = page_range(*next, has, limit);
      for (auto seq = range.first.value; !range.empty() && seq <= range.last.value; ++seq) seen.push_back(seq);
      next = neighbours(*next, has, range).next;
      ASSERT_LE(seen.size(), 100U);
    }
    std::vector<std::uint64_t> backwards;
    next = neighbours(window, has, start).prev;
    while (next) {
      range = page_range(*next, has, limit);
      ASSERT_FALSE(range.empty());
      for (auto seq = range.last.value; seq >= range.first.value; --seq) backwards.push_back(seq);
      next = neighbours(*next, has, range).prev;
    }
    std::vector<std::uint64_t> all(backwards.rbegin(), backwards.rend());
    all.insert(all.end(), seen.begin(), seen.end());
    std::vector<std::uint64_t> expected;
    if (after <= has.head.value) {
      for (auto seq = lowest; seq <= highest; ++seq) expected.push_back(seq);
      EXPECT_EQ(all, expected) << "oldest " << oldest << " head " << has.head.value << " after " << after << " before "
                               << (bounded ? before : 0) << " limit " << limit;
    }
  }
}

TEST(Page, IsFinalOnlyWhenItCannotChange) {
  const Extent has = extent(1, 100);
  EXPECT_TRUE(is_final({.direction = kUp, .edge = {0}}, has, seqs(1, 10), 10));
  EXPECT_FALSE(is_final({.direction = kUp, .edge = {90}}, has, seqs(91, 100), 10)) << "gets a next page";
  EXPECT_FALSE(is_final({.direction = kUp, .edge = {0}}, has, seqs(1, 10), 20)) << "cut short by its bytes";
  EXPECT_TRUE(is_final({.direction = kUp, .edge = {0}, .ceiling = {5}}, has, seqs(1, 4), 10));
  EXPECT_TRUE(is_final({.direction = kDown, .edge = {50}}, has, seqs(40, 49), 10));
  EXPECT_FALSE(is_final({}, has, seqs(91, 100), 10)) << "the newest page moves";
  EXPECT_FALSE(is_final({}, has, seqs(1, 0), 10));
}

TEST(Window, BeginsWhereItsReaderDoes) {
  const auto raised = [](Window window, std::uint64_t visible, std::uint64_t retained) {
    raise_edge(window, {visible}, {retained});
    return window.edge.value;
  };
  const Window up{.direction = kUp, .edge = {3}};
  const Window down{.direction = kDown, .edge = {3}};
  EXPECT_EQ(raised(up, 8, 1), 7U);
  EXPECT_EQ(raised(down, 8, 1), 8U);
  EXPECT_EQ(raised(up, 2, 1), 3U);
  EXPECT_EQ(raised(down, 2, 1), 3U);
  EXPECT_EQ(raised(up, 8, 8), 3U) << "that is retention, which is told";
  EXPECT_EQ(raised(down, 8, 9), 3U);
  EXPECT_EQ(raised({.direction = kDown}, 8, 1), kNoCeiling.value);
}

TEST(Cursor, ReadsBackWhatItWrites) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 1'000; ++i) {
    Cursor cursor;
    cursor.direction = i % 2 == 0 ? kUp : kDown;
    cursor.edge = {random()};
    cursor.floor = {random()};
    cursor.ceiling = i % 3 == 0 ? kNoCeiling : Seq{random() | 1};
    cursor.epoch = {random()};
    const std::string text = cursor.encode();
    EXPECT_EQ(text.size(), 47U);
    EXPECT_EQ(Cursor::decode(text), cursor);
  }
}

TEST(Cursor, RefusesWhatItDidNotWrite) {
  const std::string text = Cursor{}.encode();
  EXPECT_FALSE(Cursor::decode(""));
  EXPECT_FALSE(Cursor::decode(text + "A"));
  EXPECT_FALSE(Cursor::decode(text.substr(1)));
  int changed = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = other[i] == 'A' ? 'B' : 'A';
    if (Cursor::decode(other)) ++changed;
  }
  EXPECT_EQ(changed, 0);
}

}  // namespace
}  // namespace parley::bridge
