#include "broker/cluster/envelope.hpp"

namespace parley::cluster {
namespace {

/// Base 128, the lowest seven bits first; a number has one encoding only.
std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t number = 0;
  for (unsigned shift = 0; shift < 63 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    number |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) != 0) continue;
    if (byte == 0 && shift != 0) return std::nullopt;
    return number;
  }
  return std::nullopt;
}

}  // namespace

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
