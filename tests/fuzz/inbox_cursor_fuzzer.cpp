#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/base64.hpp"
#include "base/bytes.hpp"
#include "broker/chat/inbox_cursor.hpp"

/// What is behind the first byte as a token of the user `ann`: as it is, or (first byte 's') as the bytes of one whose
/// check value is right. What is taken is encoded to the same token again, and its positions ascend.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley;
  if (size == 0) return 0;
  std::string token(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 's') {
    std::string bytes = token;
    append_big_endian(bytes, static_cast<std::uint16_t>(stable_hash(bytes)));
    token.clear();
    append_base64url(token, bytes);
  }
  const auto cursor = chat::decode_inbox_cursor(token, "ann");
  chat::InboxStart start;
  (void)start.add("since", token, "ann");
  (void)start.add("epoch", token, "ann");
  if (!cursor) return 0;
  if (chat::encode_inbox_cursor(*cursor) != token) __builtin_trap();
  for (std::size_t i = 1; i < cursor->positions.size(); ++i) {
    if (cursor->positions[i].number <= cursor->positions[i - 1].number) __builtin_trap();
  }
  return 0;
}
