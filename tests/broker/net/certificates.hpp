#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <openssl/types.h>

/// Certificates for one test, in a directory that goes with its authority.
namespace parley::net {

struct Certificate {
  std::vector<std::string> common_names = {"localhost"};
  std::string alternative_names = {};  ///< As in `openssl x509v3_config`: "DNS:a,email:b".
  long days = 1;                       ///< -1: it has expired.
};

class Authority {
 public:
  Authority();
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  /// NAME.crt and NAME.key.
  void make(const std::string& name, const Certificate& certificate = {});
  /// In ca.crl from now on.
  void revoke(const std::string& name);
  [[nodiscard]] std::string file(const std::string& name) const { return directory_ / name; }
  [[nodiscard]] std::string directory() const { return directory_; }

 private:
  struct Free {
    void operator()(X509* certificate) const;
    void operator()(EVP_PKEY* key) const;
    void operator()(X509_CRL* list) const;
  };
  using CertificatePtr = std::unique_ptr<X509, Free>;
  using KeyPtr = std::unique_ptr<EVP_PKEY, Free>;

  CertificatePtr issue(EVP_PKEY* key, const Certificate& certificate);
  void write_list();
  void write(const std::string& name, const X509* certificate) const;
  void write(const std::string& name, const EVP_PKEY* key) const;

  std::filesystem::path directory_;
  KeyPtr key_;
  CertificatePtr certificate_;
  std::vector<long> revoked_;  ///< Serial numbers.
  long serial_ = 0;
};

}  // namespace parley::net
