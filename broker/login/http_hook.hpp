#pragma once

#include <functional>
#include <memory>
#include <string>

#include "broker/login/login_counters.hpp"
#include "broker/login/login_options.hpp"
#include "broker/shard/ports.hpp"

namespace parley::login {

/// Asks a service about users: docs/SECURITY.md "A user service". One thread of its own; any thread may ask. Whatever
/// isn't a clear yes is a no: an answer that can't be read, a service that is down or slow.
class HttpHook {
 public:
  /// Throws config::ConfigError when the URL is none.
  HttpHook(HttpOptions options, LoginCounters& counters);
  ~HttpHook();

  using Done = std::function<void(shard::LoginAnswer)>;
  /// `done` is called once, on the hook's thread, within the timeout of each of the two steps: waiting and asking. An
  /// answer at once when it is known from before, or when too many wait already.
  std::optional<shard::LoginAnswer> ask(const shard::LoginRequest& request, Done done);
  /// Forgets what was answered.
  void forget();
  /// What is under way is given up; nothing more is called.
  void stop();

 private:
  class Running;
  std::unique_ptr<Running> running_;
};

/// The service's answer as it counts. Any bytes; any thread.
shard::LoginAnswer read_hook_answer(unsigned status, std::string_view body, std::string_view user_name);

}  // namespace parley::login
