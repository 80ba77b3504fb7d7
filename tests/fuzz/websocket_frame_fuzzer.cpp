#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "broker/net/websocket_frame.hpp"

namespace {

using namespace parley::net;

struct Read {
  std::string stream;
  std::string answers;
  CloseCode failure = CloseCode::None;
  bool closed = false;
  friend bool operator==(const Read&, const Read&) = default;
};

Read read(std::string bytes, std::size_t piece_size) {
  WebSocketDecoder decoder;
  Read all;
  for (std::size_t at = 0; at < bytes.size() && all.failure == CloseCode::None && !all.closed; at += piece_size) {
    const std::span<char> piece(bytes.data() + at, std::min(piece_size, bytes.size() - at));
    const auto outcome = decoder.decode(piece, all.answers);
    if (outcome.payload > piece.size()) __builtin_trap();
    all.stream.append(piece.data(), outcome.payload);
    all.failure = outcome.failure;
    all.closed = outcome.closed;
  }
  return all;
}

}  // namespace

/// Frames in pieces of the first byte's size: it is the same stream however it is cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const Read whole = read(bytes, bytes.size());
  if (whole.stream.size() > bytes.size()) __builtin_trap();
  if (read(bytes, std::max<std::size_t>(1, data[0])) != whole) __builtin_trap();
  return 0;
}
