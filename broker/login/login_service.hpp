#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "broker/auth/scram.hpp"
#include "broker/login/check_threads.hpp"
#include "broker/login/credential_files.hpp"
#include "broker/login/http_hook.hpp"
#include "broker/login/login_counters.hpp"
#include "broker/login/login_options.hpp"
#include "broker/shard/ports.hpp"

namespace parley::login {

/// Where answers go that come later; any thread.
class LoginAnswers {
 public:
  virtual ~LoginAnswers() = default;
  virtual void post(shard::ShardId shard, shard::ConnectionId connection, shard::LoginAnswer answer) = 0;
};

/// Who a client is, for real. Every way that is configured, in this order: an Authentication Method; a client
/// certificate; a token in the password; a password of the users file; the user service; and where the listener allows
/// it and no password was given, the client's own word. docs/SECURITY.md.
///
/// Any thread may ask. What costs more than microseconds is done by threads of its own.
class LoginService final : public shard::Authenticator {
 public:
  /// Throws config::ConfigError. `answers` lives longer.
  LoginService(LoginOptions options, LoginAnswers& answers);
  ~LoginService() override;

  std::optional<shard::LoginAnswer> authenticate(shard::ShardId shard, shard::LoginRequest request) override;

  /// Who may read and write what; null: no access file.
  [[nodiscard]] std::shared_ptr<const auth::AccessRules> access() const { return files_.current()->access; }
  /// Reads the files again; see CredentialFiles.
  void reload();
  /// Waits for its threads; no answer comes any more.
  void stop();
  [[nodiscard]] const LoginCounters& counters() const { return counters_; }

 private:
  using Answer = std::optional<shard::LoginAnswer>;
  /// Where an answer belongs that comes later.
  struct Asker {
    shard::ShardId shard = 0;
    shard::ConnectionId connection;
  };

  Answer decide(Asker asker, shard::LoginRequest& request);
  Answer by_password(Asker asker, shard::LoginRequest& request, const CredentialsPtr& credentials);
  Answer by_own_word(const shard::LoginRequest& request, const Credentials& credentials) const;
  Answer by_certificate(const shard::LoginRequest& request) const;
  Answer by_token(Asker asker, std::string token, std::optional<std::string> user_name, mqtt::ReasonCode reason,
                  const CredentialsPtr& credentials);
  Answer by_scram(shard::LoginRequest& request, const Credentials& credentials);
  Answer by_service(Asker asker, const shard::LoginRequest& request);
  Answer later(Asker asker, std::function<shard::LoginAnswer()> check, std::size_t memory);
  void deliver(Asker asker, shard::LoginAnswer answer);
  void count(const shard::LoginAnswer& answer);
  [[nodiscard]] auth::ScramVerifier made_up_verifier(std::string_view user) const;

  const LoginOptions options_;
  LoginAnswers& answers_;
  LoginCounters counters_;
  CredentialFiles files_;
  std::string key_;         ///< For what is made up about users who aren't there.
  std::string dummy_hash_;  ///< What the password of such a user is checked against, for the time it takes.
  CheckThreads threads_;
  std::unique_ptr<HttpHook> hook_;
};

}  // namespace parley::login
