#include "broker/net/tls_records.hpp"

#include <algorithm>
#include <cstring>

#include "base/check.hpp"

namespace parley::net {
namespace {

constexpr char kKeyUpdate = 24;          ///< RFC 8446 §4.
constexpr std::uint8_t kVersion = 0x03;  ///< Both bytes of every record's legacy version, §5.1.

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
    const std::size_t length = length_of(rest);
    // The version is nobody's business, §5.1; the type is always that, §5.2.
    if (static_cast<TlsContent>(rest[0]) != TlsContent::ApplicationData) {
      fail(input, TlsAlert::UnexpectedMessage, "a TLS record isn't encrypted");
    } else if (length > kRecordMax - kHeaderSize) {
      fail(input, TlsAlert::RecordOverflow, "a TLS record is too long");
    } else if (length < 1 + TrafficKeys::kTagSize) {
      fail(input, TlsAlert::DecodeError, "a TLS record is too short");
    } else if (rest.size() < kHeaderSize + length) {
      break;
    } else {
      input.taken += kHeaderSize + length;
      open_record(rest.first(kHeaderSize + length), bytes, input);
    }
  }
  return input;
}

void TlsRecords::open_record(std::span<char> record, std::span<char> bytes, Input& input) {
  const auto text = record.subspan(kHeaderSize, record.size() - kHeaderSize - TrafficKeys::kTagSize);
  if (!client_.open(record.first<kHeaderSize>(), text, record.last<TrafficKeys::kTagSize>())) {
    fail(input, TlsAlert::BadRecordMac, "a TLS record was tampered with");
    return;
  }
  std::size_t size = text.size();
  if (size > kTextMax + 1) {
    fail(input, TlsAlert::RecordOverflow, "a TLS record is too long");
    return;
  }
  while (size != 0 && text[size - 1] == 0) --size;  // Padding, §5.4.
  if (size == 0) {
    fail(input, TlsAlert::UnexpectedMessage, "a TLS record has no type");
    return;
  }
  const auto content = static_cast<TlsContent>(text[--size]);
  if (content == TlsContent::ApplicationData && size != 0) {
    barren_ = 0;
  } else if (++barren_ > kBarrenMax) {
    fail(input, TlsAlert::UnexpectedMessage, "too many TLS records have no data");
    return;
  }
  if (key_update_have_ != 0 && content != TlsContent::Handshake) {
    fail(input, TlsAlert::UnexpectedMessage, "a TLS record is within a handshake message");
    return;
  }
  switch (content) {
    case TlsContent::ApplicationData:
      std::memmove(bytes.data() + input.text, text.data(), size);
      input.text += size;
      return;
    case TlsContent::Handshake: read_handshake({text.data(), size}, input); return;
    case TlsContent::Alert: read_alert({text.data(), size}, input); return;
  }
  fail(input, TlsAlert::UnexpectedMessage, "a TLS record's type is unknown");
}

/// The only message that a client may send is KeyUpdate. It may come in pieces, and ends with its record: what follows
/// has other keys. §4.6.3, §5.1.
void TlsRecords::read_handshake(std::string_view text, Input& input) {
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

void TlsRecords::read_alert(std::string_view text, Input& input) {
  if (text.size() != 2) {
    fail(input, TlsAlert::DecodeError, "a TLS alert is malformed");
    return;
  }
  // All others are the end, whatever level they claim. §6.
  input.ended = static_cast<TlsAlert>(text[1]) != TlsAlert::UserCanceled;
}

// -- Out --

bool TlsRecords::seal(TlsContent content, std::span<char> record) {
  PARLEY_CHECK(record.size() >= kOverhead && record.size() <= kTextMax + kOverhead, "a TLS record has a wrong size");
  const std::size_t length = record.size() - kHeaderSize;
  record[0] = static_cast<char>(TlsContent::ApplicationData);
  record[1] = record[2] = kVersion;
  record[3] = static_cast<char>(length >> 8);
  record[4] = static_cast<char>(length & 0xFF);
  const auto text = record.subspan(kHeaderSize, length - TrafficKeys::kTagSize);
  text.back() = static_cast<char>(content);
  return server_.seal(record.first<kHeaderSize>(), text, record.last<TrafficKeys::kTagSize>());
}

/// Empty without memory; the connection doesn't get far then.
std::string TlsRecords::record_of(TlsContent content, std::string_view text) {
  std::string record(text.size() + kOverhead, '\0');
  std::ranges::copy(text, record.begin() + kHeaderSize);
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
  const bool warning = alert == TlsAlert::CloseNotify || alert == TlsAlert::UserCanceled;
  const std::array<char, 2> text{static_cast<char>(warning ? 1 : 2), static_cast<char>(alert)};
  return record_of(TlsContent::Alert, {text.data(), text.size()});
}

}  // namespace parley::net
