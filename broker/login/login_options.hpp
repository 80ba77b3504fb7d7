#pragma once

#include <cstddef>
#include <string>

#include "base/time.hpp"
#include "broker/auth/token.hpp"
#include "config/config.hpp"

namespace parley::login {

/// [auth.http]: a service that is asked about users.
struct HttpOptions {
  std::string url;  ///< `http://…` or `https://…`; empty: nobody is asked.
  Duration timeout = std::chrono::seconds(2);
  Duration cache = std::chrono::seconds(10);  ///< How long an answer counts; 0: it doesn't.
  std::size_t requests_max = 16;              ///< Under way at a time.
  std::size_t waiting_max = 1'024;
};

/// [auth].
struct LoginOptions {
  std::string users_file;   ///< Empty: none; as the next two.
  std::string keys_file;    ///< JWKS.
  std::string access_file;  ///< docs/formats/access.md
  auth::TokenRules token;
  unsigned threads = 1;                        ///< That compute hashes and check signatures.
  std::size_t hash_memory = 64 * 1024 * 1024;  ///< Bytes that hashes under way take together.
  std::size_t waiting_max = 1'024;             ///< Logins that wait for a thread.
  HttpOptions http;
};

LoginOptions login_options(const config::Config& config, unsigned cores);

}  // namespace parley::login
