#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "broker/auth/access_file.hpp"
#include "broker/auth/signature_key.hpp"
#include "broker/auth/users_file.hpp"
#include "broker/login/login_options.hpp"

namespace parley::login {

/// What the files said when they were read last. Doesn't change; any thread.
struct Credentials {
  auth::Users users;
  auth::KeySet keys;
  std::shared_ptr<const auth::AccessRules> access;  ///< Null: no access file.
};
using CredentialsPtr = std::shared_ptr<const Credentials>;

/// The users file, the key set and the access file. Files of secrets must not be readable by everybody; all are UTF-8
/// and of bounded size. Any thread; the mutex guards the pointer alone.
class CredentialFiles {
 public:
  /// Throws config::ConfigError, which names setting, file and line.
  explicit CredentialFiles(LoginOptions options);

  [[nodiscard]] CredentialsPtr current() const;
  /// Reads all again. Of a file that is broken what it said before stays, and a log line says why.
  void reload();

 private:
  const LoginOptions options_;
  mutable std::mutex mutex_;
  CredentialsPtr current_;
};

}  // namespace parley::login
