#include "broker/net/tls_records.hpp"

#include <algorithm>
#include <cstring>

#include "base/check.hpp"

namespace parley::net {
namespace {

constexpr char kClientHello = 1;  ///< RFC 5246 §7.4.
constexpr char kKeyUpdate = 24;   ///< RFC 8446 §4.
constexpr char kVersion = 0x03;   ///< Both bytes of TLS 1.2, and of every record's legacy version in TLS 1.3, §5.1.
constexpr char kWarning = 1;
constexpr char kFatal = 2;

std::size_t length_of(std::span<const char> header) {
  return static_cast<std::size_t>(static_cast<std::uint8_t>(header[3])) << 8 | static_cast<std::uint8_t>(header[4]);
}

void fail(TlsRecords::Input& input, TlsAlert alert, std::string_view why) {
  input.ended = true;
  input.failure = alert;
  input.why = why;
}

}  // namespace

// -- In --

TlsRecords::Input TlsRecords::open(std::span<char> bytes) {
  Input input;
  while (!input.ended && bytes.size() - input.taken >= kHeaderSize) {
    const auto rest = bytes.subspan(input.taken);
    if (!begins_well(rest, input)) break;
    const std::size_t size = kHeaderSize + length_of(rest);
    if (rest.size() < size) break;
    input.taken += size;
    open_record(rest.first(size), bytes, input);
  }
  return input;
}

/// Judges a header. In TLS 1.3 the version is nobody's business, §5.1, and the type is always that, §5.2.
bool TlsRecords::begins_well(std::span<const char> rest, Input& input) const {
  const std::size_t length = length_of(rest);
  if (!is_tls12() && static_cast<TlsContent>(rest[0]) != TlsContent::ApplicationData) {
    fail(input, TlsAlert::UnexpectedMessage, "a TLS record isn't encrypted");
  } else if (is_tls12() && (rest[1] != kVersion || rest[2] != kVersion)) {
    fail(input, TlsAlert::ProtocolVersion, "a TLS record has another version");
  } else if (length > kRecordMax - kHeaderSize) {
    fail(input, TlsAlert::RecordOverflow, "a TLS record is too long");
  } else if (length < (is_tls12() ? client_.nonce_size() : 1) + TrafficKeys::kTagSize) {
    fail(input, TlsAlert::DecodeError, "a TLS record is too short");
  }
  return !input.ended;
}

void TlsRecords::open_record(std::span<char> record, std::span<char> bytes, Input& input) {
  auto opened = client_.open(record);
  if (!opened) {
    fail(input, TlsAlert::BadRecordMac, "a TLS record was tampered with");
    return;
  }
  std::span<char> text = *opened;
  if (text.size() > kTextMax + (is_tls12() ? 0 : 1)) {
    fail(input, TlsAlert::RecordOverflow, "a TLS record is too long");
    return;
  }
  const auto content = is_tls12() ? static_cast<TlsContent>(record[0]) : take_type(text, input);
  if (!content) return;
  if (*content == TlsContent::ApplicationData && !text.empty()) {
    barren_ = 0;
  } else if (++barren_ > kBarrenMax) {
    fail(input, TlsAlert::UnexpectedMessage, "too many TLS records have no data");
    return;
  }
  if (key_update_have_ != 0 && *content != TlsContent::Handshake) {
    fail(input, TlsAlert::UnexpectedMessage, "a TLS record is within a handshake message");
    return;
  }
  switch (*content) {
    case TlsContent::ApplicationData:
      std::memmove(bytes.data() + input.text, text.data(), text.size());
      input.text += text.size();
      return;
    case TlsContent::Handshake: read_handshake({text.data(), text.size()}, input); return;
    case TlsContent::Alert: read_alert({text.data(), text.size()}, input); return;
    case TlsContent::ChangeCipherSpec:
      fail(input, TlsAlert::UnexpectedMessage, "a ChangeCipherSpec isn't expected");
      return;
  }
  fail(input, TlsAlert::UnexpectedMessage, "a TLS record's type is unknown");
}

/// In TLS 1.3 it is the last byte that isn't padding, §5.4.
std::optional<TlsContent> TlsRecords::take_type(std::span<char>& text, Input& input) const {
  while (!text.empty() && text.back() == 0) text = text.first(text.size() - 1);
  if (text.empty()) {
    fail(input, TlsAlert::UnexpectedMessage, "a TLS record has no type");
    return std::nullopt;
  }
  const auto content = static_cast<TlsContent>(text.back());
  text = text.first(text.size() - 1);
  return content;
}

void TlsRecords::read_handshake(std::string_view text, Input& input) {
  if (!is_tls12()) {
    read_key_update(text, input);
  } else if (text.starts_with(kClientHello)) {
    fail(input, TlsAlert::NoRenegotiation, "a client wants to renegotiate");
  } else {
    fail(input, TlsAlert::UnexpectedMessage, "a TLS handshake message isn't expected");
  }
}

/// The only message that a client may send in TLS 1.3. It may come in pieces, and ends with its record: what follows
/// has other keys. §4.6.3, §5.1.
void TlsRecords::read_key_update(std::string_view text, Input& input) {
  if (text.empty() || key_update_have_ + text.size() > key_update_.size() ||
      (key_update_have_ == 0 && text[0] != kKeyUpdate)) {
    fail(input, TlsAlert::UnexpectedMessage, "a TLS handshake message isn't expected");
    return;
  }
  std::ranges::copy(text, key_update_.begin() + key_update_have_);
  key_update_have_ = static_cast<std::uint8_t>(key_update_have_ + text.size());
  if (key_update_have_ < key_update_.size()) return;
  key_update_have_ = 0;
  if (std::string_view(key_update_.data(), 4) != std::string_view("\x18\0\0\1", 4)) {
    fail(input, TlsAlert::DecodeError, "a KeyUpdate's length is wrong");
    return;
  }
  const auto wants_ours = static_cast<std::uint8_t>(key_update_[4]);
  if (wants_ours > 1) {
    fail(input, TlsAlert::IllegalParameter, "a KeyUpdate is malformed");
    return;
  }
  client_.update();
  // However often it was asked, one answer will do.
  if (wants_ours == 1) owes_key_update_ = true;
}

void TlsRecords::read_alert(std::string_view text, Input& input) const {
  if (text.size() != 2) {
    fail(input, TlsAlert::DecodeError, "a TLS alert is malformed");
    return;
  }
  const auto alert = static_cast<TlsAlert>(text[1]);
  if (!is_tls12()) {
    // All others are the end, whatever level they claim. §6.
    input.ended = alert != TlsAlert::UserCanceled;
  } else if (text[0] == kWarning || text[0] == kFatal) {
    input.ended = text[0] == kFatal || alert == TlsAlert::CloseNotify;  // RFC 5246 §7.2.
  } else {
    fail(input, TlsAlert::IllegalParameter, "a TLS alert has no level");
  }
}

// -- Out --

bool TlsRecords::seal(TlsContent content, std::span<char> record) {
  PARLEY_CHECK(record.size() >= overhead() && record.size() <= kTextMax + overhead(), "a TLS record has a wrong size");
  const std::size_t length = record.size() - kHeaderSize;
  record[0] = static_cast<char>(is_tls12() ? content : TlsContent::ApplicationData);
  record[1] = record[2] = kVersion;
  record[3] = static_cast<char>(length >> 8);
  record[4] = static_cast<char>(length & 0xFF);
  if (!is_tls12()) record[record.size() - TrafficKeys::kTagSize - 1] = static_cast<char>(content);
  return server_.seal(record);
}

/// Empty without memory; the connection doesn't get far then.
std::string TlsRecords::record_of(TlsContent content, std::string_view text) {
  std::string record(text.size() + overhead(), '\0');
  std::ranges::copy(text, record.begin() + static_cast<std::ptrdiff_t>(text_offset()));
  if (!seal(content, record)) record.clear();
  return record;
}

std::string TlsRecords::update_keys() {
  owes_key_update_ = false;
  auto record = record_of(TlsContent::Handshake, std::string_view("\x18\0\0\1\0", 5));
  server_.update();
  return record;
}

std::string TlsRecords::alert(TlsAlert alert) {
  const bool warning = alert == TlsAlert::CloseNotify || alert == TlsAlert::NoRenegotiation;
  const std::array<char, 2> text{warning ? kWarning : kFatal, static_cast<char>(alert)};
  return record_of(TlsContent::Alert, {text.data(), text.size()});
}

}  // namespace parley::net
