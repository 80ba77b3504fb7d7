#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.hpp"
#include "storage/slot_snapshot.hpp"

/// Any bytes as a piece of a slot's history, as a position and as what is known: what is accepted is encoded to the
/// same bytes again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto items = storage::decode_items(bytes)) {
    std::string again;
    for (const auto& item : *items) storage::append_item(again, item);
    PARLEY_CHECK(again == bytes, "a piece changes when encoded again");
  }
  if (const auto position = storage::decode_position(bytes, Slot{3}); position && !bytes.empty()) {
    PARLEY_CHECK(storage::encode(*position) == bytes, "a position changes when encoded again");
  }
  if (const auto known = storage::decode_known(bytes); known && !bytes.empty()) {
    PARLEY_CHECK(storage::encode(*known) == bytes, "what is known changes when encoded again");
  }
  return 0;
}
