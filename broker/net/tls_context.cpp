#include "broker/net/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

#include "broker/net/tls_secrets.hpp"
#include "config/error.hpp"

namespace parley::net {
namespace {

/// Forward secrecy and authenticated encryption only; TLS 1.3 knows nothing else.
constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr const char* kGroups = "X25519:P-256:P-384";
constexpr long kResumableSeconds = 7'200;
/// A resumed session isn't verified again, so a certificate that has just expired is good for this much longer.
constexpr long kResumableWithCertificateSeconds = 300;
/// A session's key name and keys as OpenSSL hands them out: 16 bytes of name, 32 for each of two keys.
constexpr long kTicketKeysSize = 80;

[[noreturn]] void refuse(const config::Listener& listener, std::string_view what, std::string_view file) {
  std::array<char, 256> reason{};
  ::ERR_error_string_n(::ERR_get_error(), reason.data(), reason.size());
  ::ERR_clear_error();
  throw config::ConfigError("listener " + config::url_of(listener) + " can't use " + std::string(what) + " \"" +
                            std::string(file) + "\": " + reason.data());
}

/// No terminal is asked for a password.
int no_password(char*, int, int, void*) { return 0; }

std::string text_of(const ASN1_STRING* string) {
  unsigned char* utf8 = nullptr;
  const int size = ::ASN1_STRING_to_UTF8(&utf8, string);
  if (size < 0) return {};
  std::string text(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
  ::OPENSSL_free(utf8);
  // A NUL inside is how certificates lie about names.
  return text.find('\0') == text.npos ? text : std::string();
}

/// Empty unless there is exactly one: which of several would count is for nobody to guess.
std::string common_name(const X509* certificate) {
  X509_NAME* subject = ::X509_get_subject_name(certificate);
  const int at = ::X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0 || ::X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
  return text_of(::X509_NAME_ENTRY_get_data(::X509_NAME_get_entry(subject, at)));
}

std::string alternative_name(const X509* certificate, int type) {
  auto* names = static_cast<GENERAL_NAMES*>(::X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string found;
  for (int i = 0; i < sk_GENERAL_NAME_num(names) && found.empty(); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == type) found = text_of(name->d.ia5);
  }
  ::GENERAL_NAMES_free(names);
  return found;
}

void load_revocations(const config::Listener& listener, X509_STORE* store) {
  X509_LOOKUP* lookup = ::X509_STORE_add_lookup(store, ::X509_LOOKUP_file());
  if (lookup == nullptr || ::X509_load_crl_file(lookup, listener.client_crl.c_str(), X509_FILETYPE_PEM) < 1) {
    refuse(listener, "client_crl", listener.client_crl);
  }
  ::X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
}

}  // namespace

void SslFree::operator()(SSL* ssl) const { ::SSL_free(ssl); }
void SslFree::operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }

TlsContext::TlsContext(const config::Listener& listener) : listener_(listener) {}

std::shared_ptr<const TlsContext> TlsContext::load(const config::Listener& listener, const TlsContext* before) {
  std::shared_ptr<TlsContext> context(new TlsContext(listener));
  context->load_certificates();
  if (before != nullptr && listener.client_certificate == "none") {
    std::array<unsigned char, kTicketKeysSize> keys{};
    if (SSL_CTX_get_tlsext_ticket_keys(before->contexts_.front().get(), keys.data(), kTicketKeysSize) == 1) {
      SSL_CTX_set_tlsext_ticket_keys(context->contexts_.front().get(), keys.data(), kTicketKeysSize);
    }
    ::OPENSSL_cleanse(keys.data(), keys.size());
  }
  return context;
}

void TlsContext::load_certificates() {
  for (const config::Certificate& files : listener_.certificates) add_certificate(files);
  if (!listener_.certificate_directory.empty()) {
    std::error_code error;
    std::vector<std::filesystem::path> chains;
    for (const auto& entry : std::filesystem::directory_iterator(listener_.certificate_directory, error)) {
      if (entry.path().extension() == ".crt") chains.push_back(entry.path());
    }
    std::ranges::sort(chains);
    for (const auto& chain : chains) {
      auto key = chain;
      add_certificate({.chain = chain.string(), .key = key.replace_extension(".key").string()});
    }
  }
  if (contexts_.empty()) {
    throw config::ConfigError("listener " + config::url_of(listener_) + " finds no certificate in \"" +
                              listener_.certificate_directory + "\"");
  }
}

void TlsContext::add_certificate(const config::Certificate& files) {
  auto context = make_context();
  ::SSL_CTX_set_default_passwd_cb(context.get(), no_password);
  if (::SSL_CTX_use_certificate_chain_file(context.get(), files.chain.c_str()) != 1) {
    refuse(listener_, "the certificate", files.chain);
  }
  if (::SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    refuse(listener_, "the key", files.key);
  }
  contexts_.push_back(std::move(context));
}

TlsContext::ContextPtr TlsContext::make_context() const {
  ContextPtr owner(::SSL_CTX_new(::TLS_server_method()));
  SSL_CTX* context = owner.get();
  if (context == nullptr) refuse(listener_, "TLS", "");
  SSL_CTX_set_min_proto_version(context, listener_.tls_min == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION);
  ::SSL_CTX_set_cipher_list(context, kCiphers12);
  SSL_CTX_set1_groups_list(context, kGroups);
  ::SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context,
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Sessions live in the clients' tickets, none in our memory. One ticket a handshake is enough to come back once.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_num_tickets(context, 1);
  // A ticket of one listener is nothing to another, which may ask more of its clients. At most 32 bytes.
  const std::string name = config::url_of(listener_);
  std::array<unsigned char, 32> digest{};
  unsigned size = 0;
  ::EVP_Digest(name.data(), name.size(), digest.data(), &size, ::EVP_sha256(), nullptr);
  ::SSL_CTX_set_session_id_context(context, digest.data(), size);
  ::SSL_CTX_set_timeout(context, kResumableSeconds);
  auto* self = const_cast<TlsContext*>(this);  // As C wants it; nothing is changed.
  SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
  SSL_CTX_set_tlsext_servername_arg(context, self);
  ::SSL_CTX_set_alpn_select_cb(context, choose_protocol, self);
  TlsSecrets::prepare(context);
  load_client_rules(context);
  return owner;
}

void TlsContext::load_client_rules(SSL_CTX* context) const {
  if (listener_.client_certificate == "none") return;
  const bool required = listener_.client_certificate == "required";
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  ::SSL_CTX_set_timeout(context, kResumableWithCertificateSeconds);
  if (::SSL_CTX_load_verify_file(context, listener_.client_ca.c_str()) != 1) {
    refuse(listener_, "client_ca", listener_.client_ca);
  }
  ::SSL_CTX_set_client_CA_list(context, ::SSL_load_client_CA_file(listener_.client_ca.c_str()));
  if (!listener_.client_crl.empty()) load_revocations(listener_, ::SSL_CTX_get_cert_store(context));
}

SslPtr TlsContext::begin(int socket) const {
  SslPtr ssl(::SSL_new(contexts_.front().get()));
  if (ssl == nullptr || ::SSL_set_fd(ssl.get(), socket) != 1) return nullptr;
  ::SSL_set_accept_state(ssl.get());
  return ssl;
}

std::string TlsContext::certificate_user(SSL* ssl) const {
  const X509* certificate = ::SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr || ::SSL_get_verify_result(ssl) != X509_V_OK) return {};
  if (listener_.certificate_user == "dns") return alternative_name(certificate, GEN_DNS);
  if (listener_.certificate_user == "email") return alternative_name(certificate, GEN_EMAIL);
  if (listener_.certificate_user == "uri") return alternative_name(certificate, GEN_URI);
  return common_name(certificate);
}

/// RFC 6066 §3. The first certificate stays when none is for the name.
int TlsContext::choose_certificate(SSL* ssl, int*, void* self) {
  const char* name = ::SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  for (const ContextPtr& context : static_cast<const TlsContext*>(self)->contexts_) {
    X509* certificate = ::SSL_CTX_get0_certificate(context.get());
    if (::X509_check_host(certificate, name, 0, 0, nullptr) != 1) continue;
    ::SSL_set_SSL_CTX(ssl, context.get());
    break;
  }
  return SSL_TLSEXT_ERR_OK;
}

/// RFC 7301: a client that offers protocols must offer ours.
int TlsContext::choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                                unsigned offered_size, void* self) {
  const bool web = static_cast<const TlsContext*>(self)->listener_.is_web_socket();
  const std::string_view wanted = web ? "http/1.1" : "mqtt";
  for (unsigned at = 0; at < offered_size; at += 1U + offered[at]) {
    if (std::string_view(reinterpret_cast<const char*>(offered + at + 1), offered[at]) != wanted) continue;
    *chosen = offered + at + 1;
    *size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

TlsContexts::TlsContexts(config::Listener listener)
    : listener_(std::move(listener)), current_(TlsContext::load(listener_, nullptr)) {}

std::shared_ptr<const TlsContext> TlsContexts::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void TlsContexts::reload() {
  auto fresh = TlsContext::load(listener_, current().get());
  const std::lock_guard lock(mutex_);
  current_ = std::move(fresh);
}

}  // namespace parley::net
