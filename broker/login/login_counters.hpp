#pragma once

#include <atomic>
#include <cstdint>

namespace parley::login {

/// Since the start; written by several threads, read by any.
struct LoginCounters {
  std::atomic<std::uint64_t> granted = 0;
  std::atomic<std::uint64_t> refused = 0;  ///< Wrong, missing or expired credentials.
  std::atomic<std::uint64_t> unanswered =
      0;                                  ///< Refused because nobody could say: too many waited, the service failed.
  std::atomic<std::uint64_t> hashes = 0;  ///< Passwords checked against argon2id.
  std::atomic<std::uint64_t> tokens = 0;  ///< Tokens checked.
  std::atomic<std::uint64_t> scram = 0;   ///< SCRAM exchanges begun.
  std::atomic<std::uint64_t> http_asked = 0;   ///< Requests to [auth.http].
  std::atomic<std::uint64_t> http_cached = 0;  ///< Logins decided by what it had said before.
  std::atomic<std::uint64_t> http_failed = 0;  ///< Requests without a usable answer in time.
};

}  // namespace parley::login
