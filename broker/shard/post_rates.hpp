#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/time.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/shard/rate.hpp"

namespace parley::shard {

class Shard;

/// How much a user posts to a conversation, by all devices and nodes: counted at the conversation's home, and anew
/// where another node leads it. [chat] max_message_rate. Belongs to its shard's thread. Memory: about 150 bytes for
/// each user and conversation of the last seconds, kPostersMax of them at the most; whoever comes beyond that isn't
/// counted.
class PostRates {
 public:
  static constexpr std::size_t kPostersMax = 100'000;

  explicit PostRates(Shard& shard) : shard_(shard) {}

  /// Counts a message or edit of `user`; false: it comes too early, and isn't counted.
  bool take(std::string_view conversation, std::string_view user);
  /// Forgets who could send a whole burst again.
  void sweep();

 private:
  Shard& shard_;
  std::unordered_map<std::string, RateBucket, routing::StringHash, std::equal_to<>> buckets_;  ///< By both names.
  Instant swept_;
};

}  // namespace parley::shard
