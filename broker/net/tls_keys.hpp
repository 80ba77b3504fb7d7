#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

/// What protects the records of TLS 1.3, RFC 8446 §5.2, §5.3, §7.1 to §7.3, and of TLS 1.2 with the same ciphers,
/// RFC 5246 §6.2.3.3, RFC 5288, RFC 7905.
namespace parley::net {

/// The ciphers. In TLS 1.3 each is one suite, in TLS 1.2 several, which differ in how keys are agreed upon.
enum class Aead : std::uint8_t { Aes128Gcm, Aes256Gcm, ChaCha20Poly1305 };

/// The keys of one direction, and its count of records. Belongs to one thread at a time. The ciphers with their
/// schedules, a kilobyte each, are the thread's: a direction is these 112 bytes.
class TrafficKeys {
 public:
  static constexpr std::size_t kHeaderSize = 5;  ///< Of a record; authenticated with it.
  static constexpr std::size_t kTagSize = 16;
  static constexpr std::size_t kNonceMax = 8;  ///< Of what a record may carry of its nonce.
  static constexpr std::size_t kSecretMax = 48;
  static constexpr std::size_t kKeyMax = 32;

  /// Of TLS 1.3. Nothing when the suite is another one (RFC 8446 §B.4), or the secret's length isn't that of the
  /// suite's hash. `record`: the number of the next one.
  static std::optional<TrafficKeys> make(std::uint16_t suite, std::span<const unsigned char> secret,
                                         std::uint64_t record);
  /// Of TLS 1.2, from a key block. Nothing when a length is wrong.
  static std::optional<TrafficKeys> make_tls12(Aead aead, std::span<const unsigned char> key,
                                               std::span<const unsigned char> iv, std::uint64_t record);
  TrafficKeys(const TrafficKeys&) = default;
  TrafficKeys& operator=(const TrafficKeys&) = default;
  ~TrafficKeys();

  [[nodiscard]] bool is_tls12() const { return is_tls12_; }
  /// How much of its nonce each record carries between header and text.
  [[nodiscard]] std::size_t nonce_size() const;
  [[nodiscard]] std::uint64_t record() const { return record_; }
  /// The next generation of keys, RFC 8446 §7.2. Records count from 0 again. TLS 1.3 only.
  void update();

  /// Encrypts the next record in place: a whole header, room for nonce_size() bytes, the text, room for the tag. False
  /// only without memory.
  bool seal(std::span<char> record);
  /// Decrypts the next record, a whole one, in place, and says where its text is. Nothing when it isn't what was
  /// sealed, and what is there then is worth nothing.
  std::optional<std::span<char>> open(std::span<char> record);

 private:
  TrafficKeys(Aead aead, bool is_tls12, std::uint64_t record) : record_(record), aead_(aead), is_tls12_(is_tls12) {}
  void derive();
  void renew_serial();
  std::array<unsigned char, 12> next_nonce(std::span<const char> explicit_part);

  std::uint64_t record_;
  std::uint64_t serial_ = 0;  ///< Of these keys among all of the process: what a thread's cipher is set up for.
  Aead aead_;
  bool is_tls12_;
  std::array<unsigned char, kSecretMax> secret_{};  ///< Of TLS 1.3.
  std::array<unsigned char, kKeyMax> key_{};
  std::array<unsigned char, 12> iv_{};
};

}  // namespace parley::net
