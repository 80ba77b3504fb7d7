#include "broker/shard/post_rates.hpp"

#include <chrono>
#include <utility>

#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

/// A full table isn't gone through for each message.
constexpr Duration kSweepInterval = std::chrono::seconds(1);

}  // namespace

bool PostRates::take(std::string_view conversation, std::string_view user) {
  const Rate& rate = shard_.options().post_rate;
  if (!rate.is_limited()) return true;
  const Instant now = shard_.now();
  std::string key(conversation);
  key.append(1, '\0').append(user);
  auto found = buckets_.find(key);
  if (found == buckets_.end()) {
    if (buckets_.size() >= kPostersMax && now - swept_ >= kSweepInterval) sweep();
    if (buckets_.size() >= kPostersMax) return true;
    found = buckets_.emplace(std::move(key), RateBucket{}).first;
  }
  if (found->second.wait(rate, now) > Duration::zero()) return false;
  found->second.take(rate, now, 1);
  return true;
}

void PostRates::sweep() {
  const Instant now = shard_.now();
  swept_ = now;
  std::erase_if(buckets_, [now](const auto& one) { return one.second.is_full(now); });
}

}  // namespace parley::shard
