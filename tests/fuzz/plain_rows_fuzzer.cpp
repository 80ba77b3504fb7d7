#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.hpp"
#include "broker/shard/plain_rows.hpp"
#include "storage/format/sealed.hpp"

/// Any bytes with a checksum that fits as each kind of row of plain.mdb: what is taken is encoded to the same bytes
/// again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley;
  if (size < format::kSealSize) return 0;
  std::string row(reinterpret_cast<const char*>(data), size);
  format::seal(row.data(), row.size());
  const shard::Moment moment{Instant(std::chrono::hours(1)), Timestamp{1'700'000'000'000}};
  if (const auto read = shard::decode_message(row, moment)) {
    const std::string again = shard::encode_message(*read->message, read->targets, read->origin, moment);
    PARLEY_CHECK(again == row, "a message's row changes when encoded again");
  }
  if (const auto read = shard::decode_retained(row, moment)) {
    const std::string again = shard::encode_retained(*read->message, read->stamp, moment);
    PARLEY_CHECK(again == row, "a retained message's row changes when encoded again");
  }
  if (const auto read = shard::decode_queue(row)) {
    PARLEY_CHECK(shard::encode_queue(*read) == row, "a queue's row changes when encoded again");
  }
  if (const auto read = shard::decode_outbound(row)) {
    PARLEY_CHECK(shard::encode_outbound(*read) == row, "the row of a delivery changes when encoded again");
  }
  return 0;
}
