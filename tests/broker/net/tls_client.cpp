#include "tests/broker/net/tls_client.hpp"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>

namespace parley::net {

TlsClient::TlsClient(int socket, const TlsSpeech& speech) : context_(::SSL_CTX_new(::TLS_client_method())) {
  SSL_CTX* context = context_.get();
  const int version = speech.version == 0 ? TLS1_3_VERSION : speech.version;
  SSL_CTX_set_min_proto_version(context, version);
  SSL_CTX_set_max_proto_version(context, version);
  ::SSL_CTX_set_ciphersuites(context, speech.suites.c_str());
  if (!speech.suites12.empty()) ::SSL_CTX_set_cipher_list(context, speech.suites12.c_str());
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (speech.fragment != 0) ::SSL_CTX_set_tlsext_max_fragment_length(context, speech.fragment);
  if (!speech.chain.empty()) {
    ::SSL_CTX_use_certificate_chain_file(context, speech.chain.c_str());
    ::SSL_CTX_use_PrivateKey_file(context, speech.key.c_str(), SSL_FILETYPE_PEM);
  }
  ssl_.reset(::SSL_new(context));
  if (!speech.name.empty()) SSL_set_tlsext_host_name(ssl_.get(), speech.name.c_str());
  ::SSL_set_fd(ssl_.get(), socket);
  ::SSL_set_connect_state(ssl_.get());
}

TlsClient::~TlsClient() { ::SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); }

bool TlsClient::shake_hands() { return ::SSL_do_handshake(ssl_.get()) == 1; }

std::size_t TlsClient::say(std::string_view text) {
  std::size_t size = 0;
  return ::SSL_write_ex(ssl_.get(), text.data(), text.size(), &size) == 1 ? size : 0;
}

std::string TlsClient::hear() {
  std::string all;
  std::array<char, 16'384> part{};
  std::size_t size = 0;
  while (::SSL_read_ex(ssl_.get(), part.data(), part.size(), &size) == 1) all.append(part.data(), size);
  error_ = ::SSL_get_error(ssl_.get(), 0);
  return all;
}

std::string TlsClient::server_name() {
  std::array<char, 64> name{};
  const X509* certificate = ::SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return {};
  ::X509_NAME_get_text_by_NID(::X509_get_subject_name(certificate), NID_commonName, name.data(), name.size());
  return name.data();
}

}  // namespace parley::net
