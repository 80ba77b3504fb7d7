#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/chat/refusal.hpp"
#include "storage/format/record.hpp"

/// The leader's side of one conversation: gives seq and ts, keeps ids from being used twice. Pure.
namespace parley::chat {

/// Something to be appended; views are the caller's.
struct EntryDraft {
  format::EntryKind kind = format::EntryKind::Message;
  Seq ref;
  std::string_view from;
  std::string_view id;  ///< The sender's, or one that the caller made up.
  bool id_from_client = false;
  std::string_view properties;
  std::string_view payload;
  std::uint64_t publisher = 0;  ///< Of a message; see format::EntryRecord.
};

/// The first use of a (from, id) pair.
struct FirstUse {
  Seq seq;
  Timestamp ts;
  bool is_command = false;  ///< By anything but a message.
  friend bool operator==(const FirstUse&, const FirstUse&) = default;
};

/// How long ids are remembered: whichever reaches further back.
inline constexpr std::uint64_t kIdempotenceMilliseconds = 24ULL * 60 * 60 * 1000;
inline constexpr std::uint64_t kIdempotenceEntries = 1'000;

/// Belongs to one thread. Entries are proposed (they get the next seq), and later committed in that order or,
/// from one on, rolled back; nobody may see an entry above head(). Memory: about 200 bytes, and 100 for each client id
/// that isn't materialised yet.
class Conversation {
 public:
  struct State {
    ConversationNumber number;
    std::string name;
    Epoch epoch;
    Seq oldest{1};
    Seq head;
    Timestamp last_ts;
    format::ConversationType type = format::ConversationType::Group;
    format::Visibility visibility = format::Visibility::Public;
  };

  explicit Conversation(State state) : state_(std::move(state)), tip_(state_.head), tip_ts_(state_.last_ts) {}

  /// The next seq and a ts that doesn't fall, for an entry about to be appended. Remembers the id.
  struct Place {
    Seq seq;
    Timestamp ts;
  };
  Place propose(const EntryDraft& draft, Timestamp now);

  /// The earlier use of this id among entries that are not materialised yet, proposed ones included; whether that one
  /// is committed shows in head().
  [[nodiscard]] std::optional<FirstUse> recent_use(std::string_view from, std::string_view id) const;
  /// True when a use found in storage still counts. now: the leader's clock.
  [[nodiscard]] bool still_remembered(const FirstUse& use, Timestamp now) const;
  /// Of an entry read back from the log after a restart, in the order of seq.
  void remember(std::string_view from, std::string_view id, FirstUse use);
  /// The id is to be found in storage from now on.
  void forget(std::string_view from, std::string_view id);

  /// Whether a redaction of `message` was proposed, of those that aren't materialised yet; storage knows of the others.
  [[nodiscard]] bool redacts(Seq message) const;
  /// Storage knows of everything up to `upto`.
  void materialised(Seq upto);

  void committed(Seq upto, Timestamp ts);
  /// What comes before `oldest` is gone.
  void retained(Seq oldest) { state_.oldest = std::max(state_.oldest, std::min(oldest, state_.head.next())); }
  /// Nothing above `tip`, which is at least head(), was stored: the places above it are given again.
  void rolled_back(Seq tip);
  void rolled_back() { rolled_back(head()); }

  [[nodiscard]] const State& state() const { return state_; }
  [[nodiscard]] Seq head() const { return state_.head; }
  [[nodiscard]] Seq tip() const { return tip_; }  ///< Head and everything proposed.
  [[nodiscard]] bool idle() const { return tip_ == state_.head && recent_ids_.empty(); }

 private:
  State state_;
  Seq tip_;
  Timestamp tip_ts_;
  std::unordered_map<std::string, FirstUse> recent_ids_;
  struct Redaction {
    Seq seq;
    Seq message;
  };
  std::vector<Redaction> redactions_;  ///< By seq.
};

}  // namespace parley::chat
