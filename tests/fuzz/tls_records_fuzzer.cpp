#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "broker/net/tls_records.hpp"
#include "tests/broker/net/tls_rig.hpp"

namespace {

using namespace parley::net;

/// Of TLS 1.3 or, by the highest bit, of one of TLS 1.2's suites.
TrafficKeys keys_by(std::uint8_t choice, unsigned char byte) {
  if ((choice & 0x80) == 0) return keys_of(kAnySuite, byte);
  return keys12_of((choice & 0x40) == 0 ? Aead::Aes128Gcm : Aead::ChaCha20Poly1305, byte);
}

/// What a client sends: sealed records of any type, with padding, with keys changed or not, and bytes that are none.
std::string stream_of(std::uint8_t choice, std::string_view script) {
  TrafficKeys keys = keys_by(choice, 1);
  const auto update = [&] {
    if (!keys.is_tls12()) keys.update();
  };
  std::string stream;
  while (!script.empty()) {
    const auto control = static_cast<std::uint8_t>(script[0]);
    const std::string content(script.substr(1, control & 0x0F));
    script.remove_prefix(std::min(script.size(), 1 + content.size()));
    switch (control >> 4) {
      case 0: stream += content; break;
      case 1: update(); break;
      case 2: stream += seal_record(keys, std::string("\x18\0\0\1\0\x16", 6)), update(); break;
      case 3: stream += seal_record(keys, std::string("\x18\0\0\1\1\x16", 6)), update(); break;
      case 4: stream += seal_record(keys, content + '\x16'); break;
      case 5: stream += seal_record(keys, content + '\x15'); break;
      case 6: stream += seal_record(keys, content.empty() ? std::string(1, '\0') : content); break;
      case 7: stream += seal_record(keys, std::string(TlsRecords::kTextMax - 8 + content.size(), 'x') + '\x17'); break;
      default: stream += seal_record(keys, content + '\x17' + std::string(control >> 4 & 3, '\0'));
    }
  }
  return stream;
}

struct Read {
  std::string text;
  bool ended = false;
  std::optional<TlsAlert> failure;
  bool owes_key_update = false;
  friend bool operator==(const Read&, const Read&) = default;
};

/// As TlsStream does: what isn't whole comes again with what follows.
Read read(std::uint8_t choice, const std::string& stream, std::size_t piece_size) {
  TlsRecords records(keys_by(choice, 1), keys_by(choice, 2));
  Read all;
  std::string unread;
  for (std::size_t at = 0; at < stream.size() && !all.ended; at += piece_size) {
    unread.append(stream, at, piece_size);
    const auto input = records.open(unread);
    if (input.text > input.taken || input.taken > unread.size()) __builtin_trap();
    if (input.failure && (!input.ended || input.why.empty())) __builtin_trap();
    all.text.append(unread, 0, input.text);
    all.ended = input.ended;
    all.failure = input.failure;
    unread.erase(0, input.taken);
    if (!all.ended && unread.size() >= TlsRecords::kRecordMax) __builtin_trap();
  }
  all.owes_key_update = records.owes_key_update();
  return all;
}

}  // namespace

/// However a stream is cut, it is the same text, and it ends in the same way.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 2'000) return 0;
  const std::uint8_t choice = data[0];
  const std::size_t piece_size = 1U + (choice & 0x3FU) * 28U;
  const std::string stream = stream_of(choice, {reinterpret_cast<const char*>(data + 1), size - 1});
  if (stream.empty()) return 0;
  if (read(choice, stream, stream.size()) != read(choice, stream, piece_size)) __builtin_trap();
  return 0;
}
