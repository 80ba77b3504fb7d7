#include "broker/cluster/random.hpp"

#include <sys/random.h>

#include <array>

#include "base/bytes.hpp"
#include "base/check.hpp"

namespace parley::cluster {

void fill_randomly(std::span<char> bytes) {
  while (!bytes.empty()) {
    const auto filled = ::getrandom(bytes.data(), bytes.size(), 0);
    if (filled < 0) {
      PARLEY_CHECK(errno == EINTR, "the kernel gives no random bytes");
      continue;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(filled));
  }
}

std::uint64_t random_number() {
  std::array<char, sizeof(std::uint64_t)> bytes{};
  fill_randomly(bytes);
  return load_big_endian<std::uint64_t>(bytes.data());
}

}  // namespace parley::cluster
