#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/format/error.hpp"

/// Up to where users have read, and how many entries are no messages: records, rows and keys. Pure. Formats:
/// docs/formats/log.md, docs/formats/store.md.
namespace parley::format {

/// Table `marks`, by conversation and user: up to where the user has read, and up to where it has come to one of its
/// devices. They move forward only, and what was read has come.
struct Mark {
  Seq read;
  Seq delivered;
  friend bool operator==(const Mark&, const Mark&) = default;
};

/// The further one of each.
inline Mark further(const Mark& a, const Mark& b) {
  const Seq read = std::max(a.read, b.read);
  return {read, std::max({a.delivered, b.delivered, read})};
}

struct UserMark {
  std::string_view user;
  Mark mark;
  friend bool operator==(const UserMark&, const UserMark&) = default;
};

/// What stands in the place of a user for a group of a shared subscription, `$share/{group}`, which no user's name
/// looks like. Its mark has in `delivered` the first seq that isn't done, and is nothing where there is no such group.
inline constexpr std::string_view kSharePrefix = "$share/";
inline bool is_share(std::string_view user) { return user.starts_with(kSharePrefix); }

/// How a mark stands behind a record: a user's moves forward, a group's is what the record says.
inline Mark moved(std::string_view user, const Mark& before, const Mark& told) {
  return is_share(user) ? told : further(before, told);
}

/// As they stand in a Marks record.
std::string marks_text(std::span<const UserMark> marks);
/// Views into `text`; nothing when it is damaged.
std::optional<std::vector<UserMark>> marks_of(std::string_view text);

/// Table `tallies`, by conversation and seq of each entry that is no message: the how manieth of these it is. So the
/// messages of any stretch are counted by two looks, and a message costs nothing.
struct TallyRow {
  std::uint64_t count = 0;
};

void encode_row(std::string& to, const Mark& row);
void encode_row(std::string& to, const TallyRow& row);
/// They fail like decode_record.
Result<Mark> decode_mark_row(std::string_view bytes);
Result<TallyRow> decode_tally_row(std::string_view bytes);

}  // namespace parley::format
