#pragma once

#include <openssl/types.h>

#include <memory>
#include <string>
#include <string_view>

#include "broker/net/tls_context.hpp"

namespace parley::net {

/// How a client of OpenSSL's speaks.
struct TlsSpeech {
  int version = 0;                                ///< TLS1_2_VERSION; else 1.3.
  std::string suites = "TLS_AES_128_GCM_SHA256";  ///< Of TLS 1.3.
  std::string suites12 = {};                      ///< Of TLS 1.2; else OpenSSL's own.
  unsigned char fragment = 0;                     ///< RFC 6066 §4.
  std::string name = {};                          ///< Of the server, to be asked for.
  std::string chain = {};                         ///< A certificate's file.
  std::string key = {};
};

/// OpenSSL at the other end of a socket pair. It believes every server.
class TlsClient {
 public:
  TlsClient(int socket, const TlsSpeech& speech);
  /// Without a word, and without giving up its session.
  ~TlsClient();
  SSL* ssl() { return ssl_.get(); }

  /// Goes on with the handshake; true when it is over.
  bool shake_hands();
  /// How much of it was taken.
  std::size_t say(std::string_view text);
  /// What has come.
  std::string hear();
  /// SSL_get_error of the last hear().
  [[nodiscard]] int error() const { return error_; }
  /// The common name of the server's certificate.
  std::string server_name();

 private:
  std::unique_ptr<SSL_CTX, SslFree> context_;
  SslPtr ssl_;
  int error_ = 0;
};

}  // namespace parley::net
