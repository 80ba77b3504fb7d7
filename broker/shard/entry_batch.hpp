#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/shard/compact_meta.hpp"
#include "mqtt/message.hpp"
#include "storage/format/record.hpp"

/// Several entries of a conversation in one PUBLISH, for clients whose CONNECT said `accept` = `batch`. Format:
/// docs/PROTOCOL.md, "Batches". Pure.
namespace parley::shard {

/// User property `accept` of CONNECT.
struct Accepted {
  bool batch = false;
  bool deflate = false;
};
/// Words that aren't known mean nothing.
Accepted read_accept(std::string_view value);
/// What CONNACK says was taken of it; empty: nothing.
std::string_view name_of(Accepted accepted);

/// Entries of one conversation, ascending.
class EntryBatch {
 public:
  /// `meta`: which ids are in it, as in other messages for `user`.
  EntryBatch(Meta meta, std::string_view user) : meta_(meta), user_(user) {}

  void add(const format::EntryRecord& entry);
  [[nodiscard]] std::size_t size() const { return count_; }
  /// Uncompressed.
  [[nodiscard]] std::size_t bytes() const { return items_.size(); }
  [[nodiscard]] mqtt::MessagePtr message(std::string_view root, std::string_view conversation, Accepted accepted) const;

 private:
  void add_extras(const format::EntryRecord& entry);

  Meta meta_;
  std::string user_;
  std::size_t count_ = 0;
  std::string items_;
  std::uint64_t seq_ = 0;
  std::uint64_t ts_ = 0;
  std::vector<std::string> names_;
};

}  // namespace parley::shard
