#pragma once

#include <openssl/types.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "config/listener.hpp"

/// TLS as a listener speaks it: certificates, versions, whose certificates are taken.
namespace parley::net {

struct SslFree {
  void operator()(SSL* ssl) const;
  void operator()(SSL_CTX* context) const;
};
using SslPtr = std::unique_ptr<SSL, SslFree>;

/// Doesn't change once it is loaded; any thread may begin connections.
class TlsContext {
 public:
  /// Reads every file that the listener names. `before`: what it replaces; clients may resume sessions across the
  /// change unless they show certificates, since those may just have been revoked. Throws ConfigError.
  static std::shared_ptr<const TlsContext> load(const config::Listener& listener, const TlsContext* before);

  /// For an accepted socket, which lives longer. Null when there is no memory.
  [[nodiscard]] SslPtr begin(int socket) const;
  /// The user that the verified client certificate names; empty when there is none.
  [[nodiscard]] std::string certificate_user(SSL* ssl) const;

 private:
  using ContextPtr = std::unique_ptr<SSL_CTX, SslFree>;

  explicit TlsContext(const config::Listener& listener);
  void load_certificates();
  void add_certificate(const config::Certificate& files);
  ContextPtr make_context() const;
  void load_client_rules(SSL_CTX* context) const;
  static int choose_certificate(SSL* ssl, int* alert, void* self);
  static int choose_protocol(SSL* ssl, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                             unsigned offered_size, void* self);

  config::Listener listener_;
  std::vector<ContextPtr> contexts_;  ///< One a certificate; connections begin with the first.
};

/// A listener's context, which a reload replaces. Any thread; the mutex guards the pointer alone.
class TlsContexts {
 public:
  explicit TlsContexts(config::Listener listener);  ///< Throws ConfigError.
  [[nodiscard]] std::shared_ptr<const TlsContext> current() const;
  void reload();  ///< Throws ConfigError, and then everything is as it was.

 private:
  const config::Listener listener_;
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsContext> current_;
};

}  // namespace parley::net
