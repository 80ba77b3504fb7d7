#include "broker/login/answer_cache.hpp"

namespace parley::login {

std::optional<shard::LoginAnswer> AnswerCache::find(const std::string& key, Instant now) {
  const std::lock_guard lock(mutex_);
  const auto found = answers_.find(key);
  if (found == answers_.end() || found->second.until <= now) return std::nullopt;
  return found->second.answer;
}

void AnswerCache::put(const std::string& key, const shard::LoginAnswer& answer, Instant now) {
  if (lifetime_ <= Duration::zero()) return;
  const std::lock_guard lock(mutex_);
  while (!order_.empty() && (order_.front().first <= now || answers_.size() >= kAnswersMax)) {
    const auto oldest = answers_.find(order_.front().second);
    // One that was put again since then stands further back, too.
    if (oldest != answers_.end() && oldest->second.until <= order_.front().first) answers_.erase(oldest);
    order_.pop_front();
  }
  answers_.insert_or_assign(key, Kept{answer, now + lifetime_});
  order_.emplace_back(now + lifetime_, key);
}

void AnswerCache::clear() {
  const std::lock_guard lock(mutex_);
  answers_.clear();
  order_.clear();
}

}  // namespace parley::login
