#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "broker/shard/ports.hpp"

namespace parley::net {

/// getrandom(2), fetched 256 bytes at a time. Belongs to one thread.
class SystemRandom final : public shard::Random {
 public:
  std::uint64_t next() override;

 private:
  std::array<std::uint64_t, 32> numbers_{};
  std::size_t used_ = numbers_.size();
};

}  // namespace parley::net
