#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/shard/feeds.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// The rosters of this shard's feeds: one a conversation, whatever number of clients looks at it, and none where none
/// does. The home is asked for the members once; then the entries of the log say who comes and goes. Belongs to its
/// shard's thread.
///
/// Groups with more than ShardOptions::marks_fanout members have an empty roster. Memory: about 100 bytes a member, and
/// what PresenceWatches has of a user that is seen.
class Rosters {
 public:
  explicit Rosters(Shard& shard) : shard_(shard) {}

  /// The client hears of presence in this feed from now on.
  void listens(Client& client, Feed& feed);
  /// It is to be shown all of them, as they are.
  void show(Client& client, const Feed& feed);
  /// Nobody hears of it any more.
  void end(Feed& feed);
  /// An entry says so.
  void changed(Feed& feed, const std::string& user, bool present);
  /// These marks have moved. In a direct conversation that shows who takes part.
  void marked(Feed& feed, const std::vector<chat::UserMarks>& marks);
  /// Entries may be missing.
  void stand_anew(Feed& feed);

  void run_timer();
  /// Groups that may have become small enough.
  void sweep();

 private:
  void ask(Feed& feed);
  void answered(Feed& feed, std::uint64_t question, const Feeds::Access& access);
  void set(Feed& feed, std::set<std::string, std::less<>> members);

  Shard& shard_;
  std::uint64_t next_question_ = 1;
  std::set<std::string> unanswered_;  ///< To be asked again.
  std::set<std::string> crowded_;
};

}  // namespace parley::shard
