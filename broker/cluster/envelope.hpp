#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "broker/shard/options.hpp"
#include "broker/shard/ports.hpp"

/// What a message between nodes begins with, and which shard it is for. Pure. shard::PeerNodes says how it is written.
namespace parley::cluster {

/// Takes the envelope off the front of `message`. Nothing when it isn't whole, or names a slot or shard that this node
/// doesn't have; then `message` is as it was.
std::optional<shard::ShardId> take_envelope(std::string_view& message, const shard::ShardOptions& options);

}  // namespace parley::cluster
