#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/time.hpp"
#include "broker/session/limits.hpp"

namespace parley::shard {

/// What a shard is told at its start; lives longer than the shard.
struct ShardOptions {
  std::uint32_t shards = 1;
  std::uint32_t slots = 256;
  session::Limits limits;
  std::size_t packet_size_before_connect_max = 64 * 1024;
  std::string root = "chat";           ///< [chat] root.
  bool auto_create = false;            ///< [chat] auto_create: conversations appear on first use and are public.
  std::size_t message_size_max = 256 * 1024;  ///< [chat] max_message_size, payload bytes.
  bool v3_refuse_closes = false;       ///< [mqtt] v3_refuse = "close".
  std::size_t pending_bytes_max = 64 * 1024 * 1024;  ///< Waiting for the disk; more is refused as busy.
  std::size_t output_flush = 64 * 1024;  ///< An output this large is written before the turn ends.
  std::size_t subscriptions_max = 10'000;  ///< Per client.
  std::size_t filter_levels_max = 128;
  std::size_t retained_max = 1'000'000;
  std::size_t retained_bytes_max = 1024ULL * 1024 * 1024;
  Duration cursor_flush = std::chrono::seconds(1);
};

}  // namespace parley::shard
