#include "broker/shard/limit_log.hpp"

#include <utility>

#include "base/log.hpp"

namespace parley::shard {

std::uint64_t LimitLog::count(Metric limit, Instant now) {
  counters_.add(limit);
  Told& told = told_[static_cast<std::size_t>(limit)];
  ++told.times;
  if (told.ever && now - told.at < kInterval) return 0;
  told.ever = true;
  told.at = now;
  return std::exchange(told.times, 0);
}

void LimitLog::tell(Metric limit, std::uint64_t times, std::string_view client_id, std::string_view user,
                    std::string_view address) {
  log::warn("a limit is reached", {{"limit", value_of_label(metric_rules()[static_cast<std::size_t>(limit)])},
                                   {"times", times},
                                   {"client_id", client_id},
                                   {"user", user},
                                   {"address", address}});
}

}  // namespace parley::shard
