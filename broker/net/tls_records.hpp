#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "broker/net/tls_keys.hpp"

/// TLS once the handshake is over, as a server speaks it: application data in records, alerts, and with TLS 1.3
/// KeyUpdate. RFC 8446 §4.6.3, §5, §6; for TLS 1.2 RFC 5246 §6.2, §7.2. Bytes in, bytes out; no socket.
namespace parley::net {

/// RFC 8446 §5.1.
enum class TlsContent : std::uint8_t { ChangeCipherSpec = 20, Alert = 21, Handshake = 22, ApplicationData = 23 };

/// RFC 8446 §6.
enum class TlsAlert : std::uint8_t {
  CloseNotify = 0,
  UnexpectedMessage = 10,
  BadRecordMac = 20,
  RecordOverflow = 22,
  IllegalParameter = 47,
  DecodeError = 50,
  ProtocolVersion = 70,
  InternalError = 80,
  UserCanceled = 90,
  NoRenegotiation = 100,  ///< RFC 5246 §7.2.2.
};

/// Both directions of one connection. Belongs to one thread at a time; holds no bytes but those of a KeyUpdate that
/// isn't whole.
class TlsRecords {
 public:
  static constexpr std::size_t kHeaderSize = TrafficKeys::kHeaderSize;
  static constexpr std::size_t kTextMax = 16 * 1024;  ///< Of a record, §5.1.
  /// Of a record that we seal, beside its text.
  static constexpr std::size_t kOverheadMax = kHeaderSize + TrafficKeys::kNonceMax + TrafficKeys::kTagSize;
  static constexpr std::size_t kRecordMax = kHeaderSize + kTextMax + 256;  ///< Of one that we open, §5.2.

  /// Both of one version and suite.
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
  [[nodiscard]] bool owes_key_update() const {
    return owes_key_update_ || (!is_tls12() && server_.record() >= kRecordsMax);
  }
  /// The record that says so; what is sealed afterwards has the new keys.
  std::string update_keys();
  /// A record of an alert.
  std::string alert(TlsAlert alert);
  /// Where the text stands in a record that we seal, and what such a record has beside it.
  [[nodiscard]] std::size_t text_offset() const { return kHeaderSize + server_.nonce_size(); }
  [[nodiscard]] std::size_t overhead() const { return text_offset() + (is_tls12() ? 0 : 1) + TrafficKeys::kTagSize; }
  /// Makes a record of `record`: text_offset() bytes of room, the text, and room for the rest of overhead(). False only
  /// without memory, and then the connection can't go on.
  bool seal(std::span<char> record) { return seal(TlsContent::ApplicationData, record); }

 private:
  /// AES-GCM is good for 2^24.5 records a key, §5.5; we change it well before. TLS 1.2 knows no such end.
  static constexpr std::uint64_t kRecordsMax = 1U << 23;
  /// Records in a row that bring no application data. Each costs the client little and us a decryption.
  static constexpr unsigned kBarrenMax = 32;

  [[nodiscard]] bool is_tls12() const { return server_.is_tls12(); }
  bool begins_well(std::span<const char> rest, Input& input) const;
  bool seal(TlsContent content, std::span<char> record);
  std::string record_of(TlsContent content, std::string_view text);
  void open_record(std::span<char> record, std::span<char> bytes, Input& input);
  std::optional<TlsContent> take_type(std::span<char>& text, Input& input) const;
  void read_handshake(std::string_view text, Input& input);
  void read_key_update(std::string_view text, Input& input);
  void read_alert(std::string_view text, Input& input) const;

  TrafficKeys client_;
  TrafficKeys server_;
  std::array<char, 5> key_update_{};
  std::uint8_t key_update_have_ = 0;
  std::uint8_t barren_ = 0;
  bool owes_key_update_ = false;
};

}  // namespace parley::net
