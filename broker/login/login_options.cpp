#include "broker/login/login_options.hpp"

#include <algorithm>

namespace parley::login {

LoginOptions login_options(const config::Config& config, unsigned cores) {
  const auto& auth = config.auth;
  LoginOptions options;
  options.users_file = auth.users_file;
  options.keys_file = auth.keys_file;
  options.access_file = auth.access_file;
  options.token = {.issuer = auth.token_issuer,
                   .audience = auth.token_audience,
                   .user_claim = auth.token_user_claim,
                   .clock_skew = auth.clock_skew,
                   .requires_expiry = auth.token_requires_expiry};
  options.threads = auth.threads != 0 ? static_cast<unsigned>(auth.threads) : std::max(1U, cores / 2);
  options.hash_memory = auth.hash_memory;
  options.waiting_max = auth.max_waiting;
  options.http = {.url = auth.http.url,
                  .timeout = auth.http.timeout,
                  .cache = auth.http.cache,
                  .requests_max = auth.http.max_requests,
                  .waiting_max = auth.max_waiting};
  return options;
}

}  // namespace parley::login
