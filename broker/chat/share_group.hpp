#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/number.hpp"

namespace parley::chat {

/// A group of a shared subscription on a conversation: its members take turns, each entry goes to one of them, and
/// counts as done once that one has acknowledged it. What a member leaves undone goes to another. MQTT 5 §4.8.2. Pure.
///
/// Costs: O(log n) an entry of what is under way, and a look at each member when none takes more. Memory: about 60
/// bytes an entry that is under way, which is as much as the members' windows, and the same for each stretch of what
/// waits; both up to kOpenMax.
class ShareGroup {
 public:
  using MemberId = std::uint64_t;  ///< Never 0, and never used again.

  /// Entries under way, of all members together, and stretches of those that wait: beyond that there is nothing new.
  static constexpr std::size_t kOpenMax = 10'000;

  struct Grant {
    MemberId member = 0;
    Seq seq;
    friend bool operator==(const Grant&, const Grant&) = default;
  };

  /// Everything up to `cursor` is done, and of what comes behind it nothing.
  explicit ShareGroup(Seq cursor) : next_(cursor.next()) {}

  /// A member that takes up to `window` entries at once, and none before `from`: those aren't for it. `held`: entries
  /// up to `head` that it has already from an earlier leader; they are its own if nobody else has them.
  void add(MemberId member, std::size_t window, Seq from, std::span<const Seq> held, Seq head);
  /// What it has under way is for others.
  void remove(MemberId member);
  [[nodiscard]] bool has(MemberId member) const { return members_.contains(member); }
  [[nodiscard]] bool empty() const { return members_.empty(); }

  /// Of what another one has by now nothing changes.
  void acknowledged(MemberId member, Seq seq);
  /// It can't be reached: it gets nothing, and what it has under way is for others, as far as it doesn't acknowledge it
  /// before they have it.
  void pause(MemberId member);
  void go_on(MemberId member, std::size_t window);
  /// Retention has taken away what comes before `oldest`.
  void begin_at(Seq oldest);

  /// Hands out what there is up to `head`: to one member after the other that has room, and to each first what was
  /// given back.
  void hand_out(Seq head, std::vector<Grant>& grants);

  /// All up to here is done.
  [[nodiscard]] Seq cursor() const;
  /// Entries under way, and stretches of those that wait.
  [[nodiscard]] std::size_t open() const { return open_.size() + waiting_.size(); }

 private:
  struct Member {
    std::size_t window = 0;
    Seq from;
    std::size_t has = 0;
  };
  /// The entry that is the member's next one; 0: there is none for it.
  Seq next_for(const Member& member, Seq head);
  void give(MemberId id, Member& member, Seq seq);
  void give_back(MemberId id);

  // -- What waits for somebody --
  /// The first one from `from` on; 0: none.
  [[nodiscard]] Seq first_waiting(Seq from) const;
  void add_waiting(Seq first, Seq last);
  /// False when it doesn't wait.
  bool take_waiting(Seq seq);

  Seq next_;                      ///< Never handed out from here on.
  std::map<Seq, MemberId> open_;  ///< Under way.
  /// Given back, or passed over because they weren't for whose turn it was: first and last of each stretch.
  std::map<Seq, Seq> waiting_;
  std::map<MemberId, Member> members_;
  MemberId last_ = 0;  ///< Who had its turn last.
};

}  // namespace parley::chat
