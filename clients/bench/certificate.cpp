#include "clients/bench/certificate.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdio>
#include <memory>

#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { ::X509_free(certificate); }
  void operator()(std::FILE* file) const { std::fclose(file); }
};

std::unique_ptr<std::FILE, Free> create(const std::string& path) {
  std::unique_ptr<std::FILE, Free> file(std::fopen(path.c_str(), "w"));
  if (!file) fail_with_errno("can't write " + path);
  return file;
}

}  // namespace

void write_certificate(const std::string& chain_file, const std::string& key_file) {
  const std::unique_ptr<EVP_PKEY, Free> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, Free> certificate(::X509_new());
  if (!key || !certificate) throw Failure("OpenSSL makes no key");
  X509* x509 = certificate.get();
  ::X509_set_version(x509, X509_VERSION_3);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(x509), 1);
  ::X509_gmtime_adj(::X509_getm_notBefore(x509), -60);
  ::X509_gmtime_adj(::X509_getm_notAfter(x509), 86'400);
  ::X509_set_pubkey(x509, key.get());
  X509_NAME* subject = ::X509_get_subject_name(x509);
  const auto* name = reinterpret_cast<const unsigned char*>("localhost");
  ::X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC, name, -1, -1, 0);
  ::X509_set_issuer_name(x509, subject);
  const bool written =
      ::X509_sign(x509, key.get(), ::EVP_sha256()) != 0 && ::PEM_write_X509(create(chain_file).get(), x509) == 1 &&
      ::PEM_write_PrivateKey(create(key_file).get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1;
  if (!written) throw Failure("OpenSSL makes no certificate");
}

}  // namespace parley::bench
