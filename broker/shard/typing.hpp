#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "base/time.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {

class Shard;
struct Feed;
struct Hosted;

/// Who types where: asked of the conversation's home like a message, passed on to its followers like an entry, and
/// stored nowhere. Belongs to its shard's thread.
class Typing {
 public:
  explicit Typing(Shard& shard) : shard_(shard) {}

  /// At the home; answered through Shard::send_outcome. Of each user and conversation one a second is passed on.
  void take(Hosted& hosted, const ProposeEvent& event);
  /// At a follower.
  void noticed(Feed& feed, const std::string& user);
  /// Forgets who hasn't typed for a while.
  void sweep();

 private:
  bool passes(const Hosted& hosted, std::string_view user);

  Shard& shard_;
  std::unordered_map<std::string, Instant, routing::StringHash, std::equal_to<>> last_;  ///< By conversation and user.
};

}  // namespace parley::shard
