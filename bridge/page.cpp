#include "bridge/page.hpp"

#include <algorithm>
#include <array>

#include "base/base64.hpp"
#include "base/bytes.hpp"

namespace parley::bridge {
namespace {

constexpr std::uint8_t kCursorVersion = 1;
constexpr std::size_t kCheckedSize = 1 + 4 * sizeof(std::uint64_t);
constexpr std::size_t kCursorSize = kCheckedSize + sizeof(std::uint16_t);

/// Against cut and mistyped cursors; it is no secret.
std::uint16_t check_value(std::string_view bytes) { return static_cast<std::uint16_t>(stable_hash(bytes)); }

/// The entries that the page's own window and its neighbours' may show: lowest and highest.
PageRange reachable(const Window& window, const Extent& extent) {
  const std::uint64_t lowest = std::max(
      window.floor.value == kNoCeiling.value ? window.floor.value : window.floor.value + 1, extent.oldest.value);
  const std::uint64_t highest = std::min(window.ceiling.value == 0 ? 0 : window.ceiling.value - 1, extent.head.value);
  return {.first = {lowest}, .last = {highest}};
}

}  // namespace

std::string Cursor::encode() const {
  std::string bytes;
  bytes.push_back(static_cast<char>(kCursorVersion << 1 | (direction == PageDirection::Ascending ? 1 : 0)));
  for (const std::uint64_t number : {epoch.value, edge.value, floor.value, ceiling.value}) {
    append_big_endian(bytes, number);
  }
  append_big_endian(bytes, check_value(bytes));
  std::string text;
  append_base64url(text, bytes);
  return text;
}

std::optional<Cursor> Cursor::decode(std::string_view text) {
  const auto bytes = decode_base64url(text);
  if (!bytes || bytes->size() != kCursorSize) return std::nullopt;
  const auto checked = std::string_view(*bytes).substr(0, kCheckedSize);
  const auto head = static_cast<std::uint8_t>(checked.front());
  if (head >> 1 != kCursorVersion) return std::nullopt;
  if (load_big_endian<std::uint16_t>(bytes->data() + kCheckedSize) != check_value(checked)) return std::nullopt;
  const auto number = [&checked](std::size_t i) {
    return load_big_endian<std::uint64_t>(checked.data() + 1 + i * sizeof(std::uint64_t));
  };
  Cursor cursor;
  cursor.direction = (head & 1) != 0 ? PageDirection::Ascending : PageDirection::Descending;
  cursor.epoch = {number(0)};
  cursor.edge = {number(1)};
  cursor.floor = {number(2)};
  cursor.ceiling = {number(3)};
  if (cursor.ceiling.value == 0) return std::nullopt;
  return cursor;
}

PageRange page_range(const Window& window, const Extent& extent, std::uint32_t limit) {
  PageRange range = reachable(window, extent);
  if (window.direction == PageDirection::Ascending) {
    if (window.edge >= range.last) return {.first = {1}, .last = {0}};
    range.first = std::max(range.first, window.edge.next());
    if (!range.empty() && range.size() > limit) range.last = {range.first.value + limit - 1};
    return range;
  }
  if (window.edge.value == 0) return {.first = {1}, .last = {0}};
  range.last = std::min(range.last, Seq{window.edge.value - 1});
  if (!range.empty() && range.size() > limit) range.first = {range.last.value - limit + 1};
  return range;
}

Reach reach_of(const Window& window, const Extent& extent) {
  if (window.direction == PageDirection::Ascending) {
    if (window.edge > extent.head) return Reach::BeyondHead;
    return window.edge.value + 1 < extent.oldest.value ? Reach::BelowRetention : Reach::Within;
  }
  if (window.edge == kNoCeiling) return Reach::Within;
  if (window.edge > extent.head.next()) return Reach::BeyondHead;
  const bool something_was_there = window.edge.value > 1 && window.edge.value - 1 > window.floor.value;
  return something_was_there && window.edge <= extent.oldest && extent.oldest.value > 1 ? Reach::BelowRetention
                                                                                        : Reach::Within;
}

void raise_edge(Window& window, Seq visible, Seq retained) {
  if (visible <= retained) return;
  const bool ascending = window.direction == PageDirection::Ascending;
  window.edge = std::max(window.edge, ascending ? Seq{visible.value - 1} : visible);
}

Neighbours neighbours(const Window& window, const Extent& extent, const PageRange& range) {
  const PageRange all = reachable(window, extent);
  // An empty page lies between two entries: `below` is the last one before it.
  const bool ascending = window.direction == PageDirection::Ascending;
  std::uint64_t below = 0;
  if (!range.empty()) {
    below = range.first.value - 1;
  } else if (ascending) {
    below = window.edge.value;
  } else {
    below = std::min(window.edge.value, extent.head.value + 1);
    below -= below == 0 ? 0 : 1;
  }
  const std::uint64_t last = range.empty() ? below : range.last.value;
  Neighbours beside;
  if (!all.empty() && last < all.last.value) {
    beside.next =
        Window{.direction = PageDirection::Ascending, .edge = {last}, .floor = window.floor, .ceiling = window.ceiling};
  }
  if (!all.empty() && below >= all.first.value) {
    beside.prev = Window{
        .direction = PageDirection::Descending, .edge = {below + 1}, .floor = window.floor, .ceiling = window.ceiling};
  }
  return beside;
}

bool is_final(const Window& window, const Extent& extent, const PageRange& range, std::uint32_t limit) {
  if (range.empty() || range.last >= extent.head) return false;
  if (window.direction == PageDirection::Descending && window.edge == kNoCeiling) return false;
  const bool ends_with_window = window.direction == PageDirection::Ascending && range.last.next() == window.ceiling;
  return range.size() == limit || ends_with_window;
}

}  // namespace parley::bridge
