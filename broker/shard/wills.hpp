#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>

#include "broker/session/session.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {

class Shard;

/// Wills whose time has come, until they are where they must be. MQTT 5 §3.1.2.5. Belongs to its shard's thread.
///
/// A will with an id stands in its session's record until it is published, and is published again by whoever finds it
/// there: in a conversation it is one entry even so, by its id. What is refused for now (no majority, a full disk) is
/// tried again each kAgain, kTriesMax times.
///
/// Memory: the will, and about 200 bytes.
class Wills {
 public:
  static constexpr Duration kAgain = std::chrono::seconds(1);
  static constexpr unsigned kTriesMax = 60;
  /// In Origin::client, where a session's place would stand.
  static constexpr std::uint32_t kNoClient = 0xFFFF'FFFF;

  struct Author {
    std::string user;
    std::string client_id;
  };
  /// False: it was refused for now, kTriesMax times.
  using Done = std::function<void(bool published)>;

  explicit Wills(Shard& shard) : shard_(shard) {}

  /// Whether wills stand in records: always on a standalone broker, and where all nodes know of that.
  [[nodiscard]] bool recorded() const;
  /// An id for a will that is about to be recorded; 0: it isn't.
  std::uint64_t make_id(const session::WillPlan& will);
  /// `done`, if any, is called once, perhaps at once. `tries` of them are made.
  void publish(const session::WillPlan& will, Author author, Done done, unsigned tries = kTriesMax);

  /// Of a proposal whose origin names kNoClient.
  void outcome(std::uint64_t token, const Outcome& outcome);
  /// False when the publication is none of a will.
  bool stored(std::uint64_t publication, bool stored);
  void run_timer();
  /// Other nodes have come, which may know less or more: connected clients' wills are recorded accordingly.
  void nodes_changed();

 private:
  struct Publication {
    session::WillPlan will;
    Author author;
    Done done;
    unsigned tries = 0;  ///< Left.
  };
  void start(std::uint64_t token);
  void ended(std::uint64_t token, bool for_now);

  Shard& shard_;
  bool was_recorded_ = true;
  std::uint64_t next_token_ = 1;
  std::map<std::uint64_t, Publication> publications_;
  std::unordered_map<std::uint64_t, std::uint64_t> plain_;  ///< Tokens by PlainTopics' publications.
  std::map<std::uint64_t, Instant> again_;                  ///< When to try again.
};

}  // namespace parley::shard
