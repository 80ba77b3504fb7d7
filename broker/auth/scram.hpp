#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// SCRAM-SHA-256 as a server speaks it: the client proves that it knows the password, and the server that it knows the
/// proof's counterpart. RFC 5802, RFC 7677. Pure; any thread.
namespace parley::auth {

inline constexpr std::string_view kScramMethod = "SCRAM-SHA-256";
inline constexpr std::uint32_t kScramIterationsMin = 4'096;  ///< RFC 7677 §4.
inline constexpr std::uint32_t kScramIterationsMax = 10'000'000;
inline constexpr std::uint32_t kScramIterations = 65'536;
inline constexpr std::size_t kScramMessageMax = 4'096;  ///< Bytes; longer ones are malformed.

/// What is kept of a password: nobody can log in with it. RFC 5802 §3.
struct ScramVerifier {
  std::uint32_t iterations = kScramIterations;
  std::string salt;
  std::string stored_key;  ///< 32 bytes, as the next.
  std::string server_key;
  friend bool operator==(const ScramVerifier&, const ScramVerifier&) = default;
};

/// Takes tens of milliseconds with kScramIterations. The password is taken as it stands: nothing is normalised.
ScramVerifier make_scram_verifier(std::string_view password, std::string_view salt,
                                  std::uint32_t iterations = kScramIterations);

/// `$scram-sha-256$i=65536$SALT$STORED-KEY$SERVER-KEY`, base64 without padding; docs/formats/users.md.
std::string write_scram_verifier(const ScramVerifier& verifier);
/// Nothing when it is no such text, the salt isn't 8 to 64 bytes, or the iterations are out of bounds.
std::optional<ScramVerifier> read_scram_verifier(std::string_view text);

/// One exchange: begin, challenge, finish, in this order, each once. What was sent for one exchange is worth nothing in
/// another, since each has a nonce of its own.
class ScramExchange {
 public:
  /// `nonce`: printable without a comma, never used before, nobody can predict it.
  explicit ScramExchange(std::string nonce) : nonce_(std::move(nonce)) {}

  /// Takes the client's first message: who it says it is. Nothing when it is malformed, or wants channel binding or
  /// another's rights (`p=`, `a=`). RFC 5802 §5.
  std::optional<std::string> begin(std::string_view client_first);
  /// The server's first message. For a user who isn't there give a verifier that is made up: the exchange then fails at
  /// its end, as with a wrong password.
  std::string challenge(const ScramVerifier& verifier);
  /// Takes the client's last message; the server's last one when the proof holds.
  std::optional<std::string> finish(std::string_view client_final);

 private:
  std::string nonce_;
  std::string gs2_header_;
  std::string client_first_bare_;
  std::string server_first_;
  ScramVerifier verifier_;
};

}  // namespace parley::auth
