#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "broker/net/tls_keys.hpp"

/// TLS 1.3 once the handshake is over, as a server speaks it: application data in records, KeyUpdate, alerts. RFC 8446
/// §4.6.3, §5, §6. Bytes in, bytes out; no socket.
namespace parley::net {

/// RFC 8446 §5.1.
enum class TlsContent : std::uint8_t { Alert = 21, Handshake = 22, ApplicationData = 23 };

/// RFC 8446 §6.
enum class TlsAlert : std::uint8_t {
  CloseNotify = 0,
  UnexpectedMessage = 10,
  BadRecordMac = 20,
  RecordOverflow = 22,
  IllegalParameter = 47,
  DecodeError = 50,
  InternalError = 80,
  UserCanceled = 90,
};

/// Both directions of one connection. Belongs to one thread at a time; holds no bytes but those of a KeyUpdate that
/// isn't whole.
class TlsRecords {
 public:
  static constexpr std::size_t kHeaderSize = 5;
  static constexpr std::size_t kTextMax = 16 * 1024;                                 ///< Of a record, §5.1.
  static constexpr std::size_t kOverhead = kHeaderSize + 1 + TrafficKeys::kTagSize;  ///< Of a record that we seal.
  static constexpr std::size_t kRecordMax = kHeaderSize + kTextMax + 256;            ///< Of one that we open, §5.2.

  TlsRecords(const TrafficKeys& client, const TrafficKeys& server) : client_(client), server_(server) {}

  struct Input {
    std::size_t text = 0;             ///< Bytes of application data, now at the front of what was handed in.
    std::size_t taken = 0;            ///< Of what was handed in. The rest begins a record that isn't whole.
    bool ended = false;               ///< The client sends no more, or nothing that may be read.
    std::optional<TlsAlert> failure;  ///< By the client's fault: to be sent as the last thing. It has `why`.
    std::string_view why;
  };
  /// Opens every whole record of `bytes`, in place.
  Input open(std::span<char> bytes);

  /// The client wants new keys of us, or they have sealed as much as they may: update_keys() comes before the next
  /// record of ours.
  [[nodiscard]] bool owes_key_update() const { return owes_key_update_ || server_.record() >= kRecordsMax; }
  /// The record that says so; what is sealed afterwards has the new keys.
  std::string update_keys();
  /// A record of an alert.
  std::string alert(TlsAlert alert);
  /// Makes a record of `record`: kHeaderSize bytes of room, the text, and room for the rest of kOverhead. False only
  /// without memory, and then the connection can't go on.
  bool seal(std::span<char> record) { return seal(TlsContent::ApplicationData, record); }

 private:
  /// AES-GCM is good for 2^24.5 records a key, §5.5; we change it well before.
  static constexpr std::uint64_t kRecordsMax = 1U << 23;
  /// Records in a row that bring no application data. Each costs the client little and us a decryption.
  static constexpr unsigned kBarrenMax = 32;

  bool seal(TlsContent content, std::span<char> record);
  std::string record_of(TlsContent content, std::string_view text);
  void open_record(std::span<char> record, std::span<char> bytes, Input& input);
  void read_handshake(std::string_view text, Input& input);
  static void read_alert(std::string_view text, Input& input);

  TrafficKeys client_;
  TrafficKeys server_;
  std::array<char, 5> key_update_{};
  std::uint8_t key_update_have_ = 0;
  std::uint8_t barren_ = 0;
  bool owes_key_update_ = false;
};

}  // namespace parley::net
