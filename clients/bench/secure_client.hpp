#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>

#include "clients/bench/endpoint.hpp"
#include "clients/bench/loop.hpp"

/// Connections over TLS that only come, and perhaps stay.
namespace parley::bench {

struct OpenSslFree {
  void operator()(SSL_CTX* context) const;
  void operator()(SSL* ssl) const;
  void operator()(SSL_SESSION* session) const;
};
using TlsContextPtr = std::unique_ptr<SSL_CTX, OpenSslFree>;
using TlsSessionPtr = std::unique_ptr<SSL_SESSION, OpenSslFree>;

/// Of clients that speak this version only and believe every server. Throws Failure.
TlsContextPtr make_tls_context(TlsVersion version);

/// Connects, shakes hands, says CONNECT of MQTT 5 and, with a filter, SUBSCRIBE. Belongs to its loop's thread.
class SecureClient : private Loop::Handler {
 public:
  struct Settings {
    SSL_CTX* context = nullptr;      ///< Outlives the client.
    SSL_SESSION* session = nullptr;  ///< To be resumed.
    std::string client_id;
    std::string filter;   ///< Empty: no subscription.
    unsigned source = 0;  ///< See start_connect.
  };
  /// Throws Failure.
  SecureClient(Loop& loop, const Endpoint& endpoint, Settings settings);
  SecureClient(const SecureClient&) = delete;
  SecureClient& operator=(const SecureClient&) = delete;
  ~SecureClient() override;

  [[nodiscard]] bool ready() const { return state_ == State::Ready; }
  [[nodiscard]] bool closed() const { return state_ == State::Closed; }
  [[nodiscard]] const std::string& error() const { return error_; }  ///< Why it is closed.
  [[nodiscard]] bool resumed() const;
  /// For the next one. Null when the server gave none.
  [[nodiscard]] TlsSessionPtr session() const;

 private:
  enum class State : std::uint8_t { Connecting, Handshake, Connack, Suback, Ready, Closed };
  void handle(std::uint32_t events) override;
  void flush() override {}
  void shake_hands();
  void receive();
  void say(const std::string& bytes);
  void close(std::string error);
  /// False when OpenSSL has to wait for the socket, or when it is over.
  bool went_well(int result);

  Loop& loop_;
  Settings settings_;
  int socket_;
  std::unique_ptr<SSL, OpenSslFree> ssl_;
  State state_ = State::Connecting;
  std::string error_;
};

}  // namespace parley::bench
