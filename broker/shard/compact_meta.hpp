#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "storage/format/record.hpp"

/// How delivered messages are described where CONNECT said `meta` = `compact`: one binary value in Correlation Data.
/// Format: docs/PROTOCOL.md, "Compact descriptions".
namespace parley::shard {

/// User property `meta` of CONNECT.
enum class Meta : std::uint8_t {
  Full,     ///< User properties.
  Compact,  ///< Correlation Data.
  None,
};

struct CompactParts {
  bool sender_named = true;  ///< Else only the sender's place in the receiver's table.
  bool has_id = false;
};

/// Where a sender stands in each receiver's table.
std::uint8_t sender_place(std::string_view from);

/// 11 bytes for an entry below seq 2,097,152 of a sender who was named before, without an id.
std::string compact_meta(const format::EntryRecord& entry, CompactParts parts);

/// Which senders a connection has been told the names of. The first use takes 2 KiB.
class NamedSenders {
 public:
  [[nodiscard]] bool knows(std::string_view from) const;
  void name(std::string_view from);
  void clear() { names_.reset(); }

 private:
  /// Hashes of names by place; 0: none. Two names that share a place take turns.
  std::unique_ptr<std::array<std::uint64_t, 256>> names_;
};

}  // namespace parley::shard
