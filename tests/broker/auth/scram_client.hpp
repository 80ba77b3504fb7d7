#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/base64.hpp"
#include "broker/auth/digest.hpp"

namespace parley::auth {

/// The client's side of SCRAM-SHA-256, written from RFC 5802 §3.
class ScramClient {
 public:
  ScramClient(std::string_view user, std::string_view password, std::string nonce = "client-nonce")
      : password_(password), nonce_(std::move(nonce)) {
    for (const char c : user) {
      if (c == ',' || c == '=') {
        user_ += c == ',' ? "=2C" : "=3D";
      } else {
        user_ += c;
      }
    }
  }

  [[nodiscard]] std::string first() const { return "n,," + first_bare(); }

  std::string last(const std::string& challenge) {
    const auto salt_at = challenge.find(",s=");
    const auto count_at = challenge.find(",i=");
    const std::string nonce = challenge.substr(2, salt_at - 2);
    const auto salt = decode_base64(challenge.substr(salt_at + 3, count_at - salt_at - 3));
    salted_ = stretch(password_, *salt, static_cast<unsigned>(std::stoul(challenge.substr(count_at + 3))));
    const std::string without_proof = "c=biws,r=" + nonce;
    message_ = first_bare() + "," + challenge + "," + without_proof;
    std::string proof = hmac_sha256(salted_, "Client Key");
    const std::string signature = hmac_sha256(sha256(proof), message_);
    for (std::size_t i = 0; i < proof.size(); ++i) proof[i] = static_cast<char>(proof[i] ^ signature[i]);
    std::string text = without_proof + ",p=";
    append_base64(text, proof);
    return text;
  }

  /// Whether the server knows the password, too.
  [[nodiscard]] bool believes(const std::string& answer) const {
    std::string expected = "v=";
    append_base64(expected, hmac_sha256(hmac_sha256(salted_, "Server Key"), message_));
    return answer == expected;
  }

 private:
  [[nodiscard]] std::string first_bare() const { return "n=" + user_ + ",r=" + nonce_; }

  std::string user_;
  std::string password_;
  std::string nonce_;
  std::string salted_;
  std::string message_;
};

}  // namespace parley::auth
