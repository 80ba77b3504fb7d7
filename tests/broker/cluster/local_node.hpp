#pragma once

#include <string>

#include "broker/cluster/handshake.hpp"

/// Nodes as the tests describe them.
namespace parley::cluster::test {

inline LocalNode local_node(const std::string& name, std::uint64_t id, std::uint64_t incarnation = 1) {
  return {.name = name,
          .id = {id},
          .incarnation = id * 100 + incarnation,
          .cluster = "chat.example",
          .secret = "correct horse battery staple",
          .slots = 256};
}

inline Nonce nonce_of(char fill) {
  Nonce nonce{};
  nonce.fill(fill);
  return nonce;
}

/// What must be there; the test ends otherwise.
template <class T>
T value_of(Result<T> result) {
  return result.value();
}

/// The first frame of `bytes`, which is whole.
inline Frame frame_in(std::string_view bytes, std::size_t body_max = 1024 * 1024) {
  auto frame = next_frame(bytes, body_max);
  return frame.value().value();
}

}  // namespace parley::cluster::test
