#include <cstddef>
#include <cstdint>
#include <string_view>

#include "broker/shard/stored_will.hpp"

/// The state of a session as it stands in a record. What is taken is encoded to the same bytes again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto split = shard::split_will(bytes);
  if (!split) return 0;
  if (shard::without_will(bytes) != split->state) __builtin_trap();
  if (!split->will && split->state != bytes) __builtin_trap();
  if (split->will && shard::with_will(*split->will, split->state) != bytes) __builtin_trap();
  return 0;
}
