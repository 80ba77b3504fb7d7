#include "broker/cluster/envelope.hpp"

#include "base/varint.hpp"

namespace parley::cluster {

std::optional<shard::ShardId> take_envelope(std::string_view& message, const shard::ShardOptions& options) {
  std::string_view rest = message;
  if (rest.empty() || static_cast<unsigned char>(rest.front()) > 1) return std::nullopt;
  const bool by_slot = rest.front() == 0;
  rest.remove_prefix(1);
  const auto number = take_varint(rest);
  if (!number || *number >= (by_slot ? options.slots : options.shards)) return std::nullopt;
  message = rest;
  return by_slot ? shard::home_of_slot(Slot{*number}, options) : static_cast<shard::ShardId>(*number);
}

}  // namespace parley::cluster
