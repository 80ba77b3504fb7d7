#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/time.hpp"
#include "broker/shard/ports.hpp"

namespace parley::login {

/// What the HTTP service has said lately, by a keyed digest of what it was asked; passwords aren't kept. Any thread;
/// the mutex guards all of it.
class AnswerCache {
 public:
  static constexpr std::size_t kAnswersMax = 10'000;

  explicit AnswerCache(Duration lifetime) : lifetime_(lifetime) {}

  [[nodiscard]] std::optional<shard::LoginAnswer> find(const std::string& key, Instant now);
  void put(const std::string& key, const shard::LoginAnswer& answer, Instant now);
  void clear();

 private:
  struct Kept {
    shard::LoginAnswer answer;
    Instant until;
  };

  const Duration lifetime_;
  std::mutex mutex_;
  std::unordered_map<std::string, Kept> answers_;
  std::deque<std::pair<Instant, std::string>> order_;  ///< By `until`.
};

}  // namespace parley::login
