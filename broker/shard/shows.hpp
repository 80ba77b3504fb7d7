#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/time.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// What a client is to be shown of many conversations and users at once: in turn, and no faster than it takes it.
/// Belongs to its shard's thread.
///
/// Marks: those of a few conversations are asked for at a time, and none while the client's output is long. Presence:
/// up to 100 users each 100 ms, those online first, each as it is when its turn comes. What has changed meanwhile of
/// somebody that waits here is shown once; and whoever doesn't take a change for want of room finds it here later. So
/// the last thing that a client hears of a user is true.
class Shows {
 public:
  explicit Shows(Shard& shard) : shard_(shard) {}

  /// Everybody's marks, to the client's listener `filter`.
  void marks(Client& client, const std::string& conversation, const std::string& filter);
  /// The user's state, to the client's subscription presence/+.
  void presence(Client& client, const std::string& user, bool online);
  /// That will be done.
  [[nodiscard]] bool awaits(const Client& client, const std::string& user) const;
  /// There is room in its output.
  [[nodiscard]] static bool has_room(const Client& client);

  void detach(Client& client);
  void run_timer();

 private:
  using Key = std::pair<std::uint32_t, std::uint64_t>;  ///< The client's place, and its session's identity.
  struct Queue {
    std::deque<std::pair<std::string, std::string>> marks;  ///< Conversation and filter.
    std::uint32_t asked = 0;                                ///< Of these, those under way.
    std::set<std::string, std::less<>> online;
    std::set<std::string, std::less<>> offline;
  };

  static Key key_of(const Client& client);
  Queue& queue_of(const Client& client, Duration wait);
  void start_timer(Instant due);
  void show_marks(Client& client, Queue& queue);
  std::size_t show_presence(Client& client, Queue& queue);
  void marks_shown(const Key& key);

  Shard& shard_;
  std::map<Key, Queue> queues_;
  Key last_{};  ///< Whose turn it was last.
  std::optional<Instant> timer_;
};

}  // namespace parley::shard
