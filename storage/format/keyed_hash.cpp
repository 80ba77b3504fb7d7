#include "storage/format/keyed_hash.hpp"

#include <bit>
#include <cstddef>
#include <cstring>

namespace parley::format {
namespace {

std::uint64_t load_little_endian(const char* from, std::size_t count) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < count; ++i) {
    word |= static_cast<std::uint64_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  }
  return word;
}

/// The four words of state, named as in the paper.
struct State {
  std::uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }
  void absorb(std::uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

}  // namespace

std::uint64_t keyed_hash(const HashKey& key, std::string_view bytes) {
  State state{key.low ^ 0x736f'6d65'7073'6575, key.high ^ 0x646f'7261'6e64'6f6d, key.low ^ 0x6c79'6765'6e65'7261,
              key.high ^ 0x7465'6462'7974'6573};
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) state.absorb(load_little_endian(at, 8));
  state.absorb(static_cast<std::uint64_t>(bytes.size()) << 56 | load_little_endian(at, left));
  state.v2 ^= 0xFF;
  for (int i = 0; i < 4; ++i) state.round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace parley::format
