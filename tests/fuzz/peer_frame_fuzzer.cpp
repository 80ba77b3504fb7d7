#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/cluster/handshake.hpp"

namespace {

using namespace parley;
using namespace parley::cluster;

constexpr Timestamp kNow{1'700'000'000'000};

LocalNode local_node() {
  return {.name = "node-b", .id = {2}, .incarnation = 7, .cluster = "chat", .secret = "secret", .slots = 256};
}

void decode(const Frame& frame) {
  (void)decode_introduction(frame.body).has_value();
  (void)decode_proof(frame.body).has_value();
  (void)decode_welcome(frame.body).has_value();
  (void)decode_refusal(frame.body).has_value();
  (void)decode_heartbeat(frame.body).has_value();
  (void)decode_credit(frame.body).has_value();
  (void)decode_close(frame.body).has_value();
}

/// Nobody without the secret may ever be taken for a node: nonces are fixed here, but no input holds an HMAC of them.
void shake_hands(Handshake handshake, std::string_view bytes) {
  std::string out;
  while (true) {
    const auto frame = next_frame(bytes, kHandshakeFrameMax);
    if (!frame || !*frame) return;
    const auto outcome = handshake.receive(**frame, kNow, out);
    if (std::holds_alternative<RemoteNode>(outcome)) __builtin_trap();
    if (std::holds_alternative<HandshakeRefusal>(outcome)) return;
    bytes.remove_prefix((*frame)->size);
  }
}

}  // namespace

/// A stream of frames: read to its end, and held against both sides of a handshake.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view whole(reinterpret_cast<const char*>(data), size);
  for (std::string_view bytes = whole;;) {
    const auto frame = next_frame(bytes, 4096);
    if (!frame || !*frame) break;
    if ((*frame)->size > bytes.size() || (*frame)->channel >= kChannels) __builtin_trap();
    decode(**frame);
    bytes.remove_prefix((*frame)->size);
  }
  const LocalNode self = local_node();
  const Nonce nonce{};
  std::string out;
  shake_hands(Handshake::accept(self, nonce, {}), whole);
  shake_hands(Handshake::dial(self, {3}, nonce, kNow, out), whole);
  return 0;
}
