#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

/// What protects the records of TLS 1.3: RFC 8446 §5.2, §5.3, §7.1 to §7.3.
namespace parley::net {

/// RFC 8446 §B.4.
enum class CipherSuite : std::uint16_t {
  Aes128GcmSha256 = 0x1301,
  Aes256GcmSha384 = 0x1302,
  ChaCha20Poly1305Sha256 = 0x1303,
};

/// The keys of one direction, and its count of records. Belongs to one thread at a time. The ciphers with their
/// schedules, a kilobyte each, are the thread's: a direction is these 112 bytes.
class TrafficKeys {
 public:
  static constexpr std::size_t kTagSize = 16;
  static constexpr std::size_t kSecretMax = 48;
  using Header = std::span<const char, 5>;  ///< Of a record; authenticated with it.

  /// Nothing when the suite is another one, or the secret's length isn't that of the suite's hash. `record`: the number
  /// of the next one.
  static std::optional<TrafficKeys> make(std::uint16_t suite, std::span<const unsigned char> secret,
                                         std::uint64_t record);
  TrafficKeys(const TrafficKeys&) = default;
  TrafficKeys& operator=(const TrafficKeys&) = default;
  ~TrafficKeys();

  /// The next generation of keys, §7.2. Records count from 0 again.
  void update();
  [[nodiscard]] std::uint64_t record() const { return record_; }

  /// Encrypts the next record in place, and writes its tag behind it. False only without memory.
  bool seal(Header header, std::span<char> text, std::span<char, kTagSize> tag);
  /// Decrypts the next record in place: false when it isn't what was sealed, and what is there then is worth nothing.
  bool open(Header header, std::span<char> text, std::span<char, kTagSize> tag);

 private:
  TrafficKeys(CipherSuite suite, std::span<const unsigned char> secret, std::uint64_t record);
  void derive();

  std::uint64_t record_;
  std::uint64_t serial_ = 0;  ///< Of these keys among all of the process: what a thread's cipher is set up for.
  CipherSuite suite_;
  std::array<unsigned char, kSecretMax> secret_{};
  std::array<unsigned char, 32> key_{};
  std::array<unsigned char, 12> iv_{};
};

}  // namespace parley::net
