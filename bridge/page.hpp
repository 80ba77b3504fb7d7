#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/number.hpp"

/// Which entries make up a page, and how one gets to its neighbours. Pure; any thread.
namespace parley::bridge {

/// Ascending pages begin behind a position, descending ones end before it. Inside a page entries always ascend.
enum class PageDirection : std::uint8_t { Ascending, Descending };

inline constexpr Seq kNoCeiling{std::numeric_limits<std::uint64_t>::max()};

/// Which stretch of a conversation a page comes from. Positions are exclusive.
struct Window {
  PageDirection direction = PageDirection::Descending;
  Seq edge = kNoCeiling;  ///< Ascending: entries above it. Descending: entries below it.
  Seq floor;              ///< Neighbouring pages keep above it, too.
  Seq ceiling = kNoCeiling;
  friend bool operator==(const Window&, const Window&) = default;
};

/// A window as clients carry it around, opaque to them: base64url of version and direction, epoch, edge, floor, ceiling
/// and a check value (47 characters). docs/formats/cursor.md.
struct Cursor : Window {
  Epoch epoch;

  [[nodiscard]] std::string encode() const;
  /// Nothing for what encode() didn't make.
  static std::optional<Cursor> decode(std::string_view text);
  friend bool operator==(const Cursor&, const Cursor&) = default;
};

/// What a conversation has now: seqs oldest … head, none when oldest is head + 1.
struct Extent {
  Seq oldest{1};
  Seq head;
};

/// First and last seq of a page of up to `limit` entries, both in it; empty when first is above last.
struct PageRange {
  Seq first;
  Seq last;
  [[nodiscard]] bool empty() const { return first > last; }
  [[nodiscard]] std::uint64_t size() const { return empty() ? 0 : last.value - first.value + 1; }
  friend bool operator==(const PageRange&, const PageRange&) = default;
};
PageRange page_range(const Window& window, const Extent& extent, std::uint32_t limit);

/// Why a window can't be served as it stands.
enum class Reach : std::uint8_t { Within, BelowRetention, BeyondHead };
/// BelowRetention: entries right at the window's edge were removed. BeyondHead: the edge is a position that nobody has
/// seen.
Reach reach_of(const Window& window, const Extent& extent);

/// The pages beside the one that covers `range`; nothing when there is no entry in that direction now.
struct Neighbours {
  std::optional<Window> next;
  std::optional<Window> prev;
};
Neighbours neighbours(const Window& window, const Extent& extent, const PageRange& range);

/// Moves the edge up to `visible`, the first seq that this reader ever had, where that is above `retained`, the oldest
/// that retention has left: nothing was removed from in between, so there is nothing to tell.
void raise_edge(Window& window, Seq visible, Seq retained);

/// True when the page can't become another one: it is full, or ends where its window does, and the conversation goes on
/// behind it.
bool is_final(const Window& window, const Extent& extent, const PageRange& range, std::uint32_t limit);

}  // namespace parley::bridge
