#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/number.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/record.hpp"

namespace parley::chat {

/// What the leader keeps in memory of a conversation's members and settings: the settings, the numbers of members, and
/// what members have changed since the store was written. Everything else is looked up there, so a member costs nothing
/// here. Pure.
///
/// Belongs to one thread. Memory: 100 bytes a change that isn't materialised yet.
class Group {
 public:
  struct Standing {
    format::Settings settings;
    std::uint64_t members = 0;
    std::uint64_t owners = 0;
  };

  explicit Group(Standing standing) : standing_(std::move(standing)) {}

  /// An entry of kind Member or Settings that was proposed, or that loading found behind the store. `before`: the
  /// member as it was, for kind Member. An entry that can't be read changes nothing.
  void apply(const format::EntryRecord& entry, const std::optional<format::MemberRow>& before);
  /// Entries above `tip` are not stored.
  void rolled_back(Seq tip);
  /// The store has everything of `seq`, an entry that was applied, and of what came before it.
  void materialised(Seq seq);

  /// The last word on `user` among what isn't materialised up to `upto`: a member, or none any more. Nothing: ask the
  /// store.
  [[nodiscard]] std::optional<std::optional<format::MemberRow>> find(std::string_view user, Seq upto) const;

  /// With everything that was proposed.
  [[nodiscard]] const Standing& standing() const { return standing_; }
  /// As of `upto`.
  [[nodiscard]] const Standing& standing(Seq upto) const;
  [[nodiscard]] bool idle() const { return changes_.empty(); }

  /// Users that changed, with the last word on each, up to `upto`; for lists.
  [[nodiscard]] std::vector<std::pair<std::string, std::optional<format::MemberRow>>> changed(Seq upto) const;

 private:
  struct Change {
    Seq seq;
    Standing before;
    std::string user;  ///< Empty: of the settings.
    std::optional<format::MemberRow> member;
  };

  Standing standing_;
  std::deque<Change> changes_;  ///< By seq.
  /// Of each user: the seqs of its changes and what they made of it, ascending.
  std::unordered_map<std::string, std::vector<std::pair<Seq, std::optional<format::MemberRow>>>> users_;
};

}  // namespace parley::chat
