#pragma once

#include <atomic>
#include <cstdint>

#include "broker/shard/rate.hpp"

namespace parley::shard {

/// What all of a user's connections to this node share. Any thread.
struct UserAccount {
  std::atomic<std::uint32_t> connections = 0;
  SharedRateBucket messages;
  SharedRateBucket bytes;
};

}  // namespace parley::shard
