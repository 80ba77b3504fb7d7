#include "tests/broker/net/certificates.hpp"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <cstdio>
#include <stdexcept>

namespace parley::net {
namespace {

void check(bool done) {
  if (!done) throw std::runtime_error("a certificate for a test can't be made");
}

using FilePtr = std::unique_ptr<std::FILE, decltype([](std::FILE* file) { std::fclose(file); })>;

FilePtr create(const std::filesystem::path& path) {
  FilePtr file(std::fopen(path.c_str(), "w"));
  check(file != nullptr);
  return file;
}

void add_name(X509_NAME* name, const std::string& value) {
  const auto* text = reinterpret_cast<const unsigned char*>(value.data());
  check(::X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, text, static_cast<int>(value.size()), -1, 0));
}

void add_extension(X509* certificate, int kind, const std::string& value) {
  X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
  check(extension != nullptr);
  ::X509_add_ext(certificate, extension, -1);
  ::X509_EXTENSION_free(extension);
}

}  // namespace

void Authority::Free::operator()(X509* certificate) const { ::X509_free(certificate); }
void Authority::Free::operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
void Authority::Free::operator()(X509_CRL* list) const { ::X509_CRL_free(list); }

Authority::Authority() {
  std::string name = (std::filesystem::temp_directory_path() / "parley-tls-XXXXXX").string();
  check(::mkdtemp(name.data()) != nullptr);
  directory_ = name;
  key_.reset(EVP_EC_gen("P-256"));
  certificate_ = issue(key_.get(), {.common_names = {"authority"}});
  write("ca.crt", certificate_.get());
  write_list();
}

Authority::~Authority() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

/// Signed by itself when there is no authority yet.
Authority::CertificatePtr Authority::issue(EVP_PKEY* key, const Certificate& certificate) {
  CertificatePtr made(::X509_new());
  X509* x509 = made.get();
  ::X509_set_version(x509, X509_VERSION_3);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(x509), ++serial_);
  const long now = certificate.days < 0 ? certificate.days * 86'400 * 2 : -60;
  ::X509_gmtime_adj(::X509_getm_notBefore(x509), now);
  ::X509_gmtime_adj(::X509_getm_notAfter(x509), certificate.days * 86'400);
  ::X509_set_pubkey(x509, key);
  for (const std::string& name : certificate.common_names) add_name(::X509_get_subject_name(x509), name);
  const bool is_root = certificate_ == nullptr;
  ::X509_set_issuer_name(x509, ::X509_get_subject_name(is_root ? x509 : certificate_.get()));
  if (is_root) {
    add_extension(x509, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(x509, NID_key_usage, "critical,keyCertSign,cRLSign");
  }
  if (!certificate.alternative_names.empty()) {
    add_extension(x509, NID_subject_alt_name, certificate.alternative_names);
  }
  check(::X509_sign(x509, key_.get(), ::EVP_sha256()) != 0);
  return made;
}

void Authority::make(const std::string& name, const Certificate& certificate) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  write(name + ".crt", issue(key.get(), certificate).get());
  write(name + ".key", key.get());
}

void Authority::revoke(const std::string& name) {
  const FilePtr file(std::fopen(this->file(name + ".crt").c_str(), "r"));
  check(file != nullptr);
  const CertificatePtr certificate(::PEM_read_X509(file.get(), nullptr, nullptr, nullptr));
  revoked_.push_back(::ASN1_INTEGER_get(::X509_get0_serialNumber(certificate.get())));
  write_list();
}

void Authority::write_list() {
  const std::unique_ptr<X509_CRL, Free> list(::X509_CRL_new());
  ::X509_CRL_set_version(list.get(), X509_CRL_VERSION_2);
  ::X509_CRL_set_issuer_name(list.get(), ::X509_get_subject_name(certificate_.get()));
  ASN1_TIME* time = ::ASN1_TIME_new();
  ::X509_gmtime_adj(time, -60);
  ::X509_CRL_set1_lastUpdate(list.get(), time);
  for (const long serial : revoked_) {
    X509_REVOKED* entry = ::X509_REVOKED_new();
    ASN1_INTEGER* number = ::ASN1_INTEGER_new();
    ::ASN1_INTEGER_set(number, serial);
    ::X509_REVOKED_set_serialNumber(entry, number);
    ::X509_REVOKED_set_revocationDate(entry, time);
    ::ASN1_INTEGER_free(number);
    ::X509_CRL_add0_revoked(list.get(), entry);
  }
  ::X509_gmtime_adj(time, 86'400);
  ::X509_CRL_set1_nextUpdate(list.get(), time);
  ::ASN1_TIME_free(time);
  check(::X509_CRL_sign(list.get(), key_.get(), ::EVP_sha256()) != 0);
  ::PEM_write_X509_CRL(create(file("ca.crl")).get(), list.get());
}

void Authority::write(const std::string& name, const X509* certificate) const {
  check(::PEM_write_X509(create(file(name)).get(), certificate) == 1);
}

void Authority::write(const std::string& name, const EVP_PKEY* key) const {
  check(::PEM_write_PrivateKey(create(file(name)).get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
}

}  // namespace parley::net
