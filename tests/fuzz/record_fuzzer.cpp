#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/marks.hpp"
#include "storage/format/record.hpp"
#include "storage/format/rows.hpp"
#include "storage/format/sealed.hpp"

namespace {

template <class Row>
void check_row(const parley::Result<Row>& row, std::string_view sealed) {
  if (!row) return;
  std::string again;
  parley::format::encode_row(again, *row);
  PARLEY_CHECK(again == sealed, "a row changes when encoded again");
}

template <class Change>
void check_change(const parley::Result<Change>& change, std::string_view bytes) {
  PARLEY_CHECK(!change || parley::format::encode_change(*change) == bytes, "a change changes when encoded again");
}

/// A stub's size isn't in its values: what it is made from is itself.
bool comes_again(const parley::format::Record& record, std::string_view bytes) {
  const auto* entry = std::get_if<parley::format::EntryRecord>(&record.body);
  if (entry == nullptr || !entry->redacted) return parley::format::encode_record(record.position, record.body) == bytes;
  std::string again(bytes);
  parley::format::redact_record(again, entry->ref);
  return again == bytes;
}

}  // namespace

/// Any bytes, as they stand and with a checksum that fits, through the decoders of records and rows: what is accepted
/// is encoded to the same bytes again, and what has a wrong checksum is never accepted.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto record = format::decode_record(bytes)) {
    PARLEY_CHECK(comes_again(*record, bytes), "a record changes when encoded again");
  }
  if (size < format::kSealSize) return 0;

  std::string sealed(bytes);
  format::seal(sealed.data(), sealed.size());
  const auto record = format::decode_record(sealed);
  if (record) {
    PARLEY_CHECK(comes_again(*record, sealed), "a record changes when encoded again");
    const auto entry = format::Entry::from_bytes(sealed);
    PARLEY_CHECK(entry.has_value() == std::holds_alternative<format::EntryRecord>(record->body),
                 "an entry is something else than an entry record");
    PARLEY_CHECK(!entry || (*entry)->bytes() == sealed, "an entry has other bytes than its record");
  }
  check_row(format::decode_conversation_row(sealed), sealed);
  if (const auto row = format::decode_slot_row(sealed)) {
    std::string again;
    format::encode_row(again, *row);
    // Rows of earlier versions are written as the newest.
    PARLEY_CHECK(sealed[format::kVersionOffset] == 1 || again == sealed, "a slot's row changes when encoded again");
    const auto rewritten = format::decode_slot_row(again);
    PARLEY_CHECK(rewritten && *rewritten == *row, "a slot's row isn't what was encoded");
  }
  check_row(format::decode_hard_state_row(sealed), sealed);
  check_row(format::decode_member_row(sealed), sealed);
  check_row(format::decode_group_row(sealed), sealed);
  check_row(format::decode_user_conversation_row(sealed), sealed);
  check_row(format::decode_unfed_row(sealed), sealed);
  check_row(format::decode_mark_row(sealed), sealed);
  check_row(format::decode_tally_row(sealed), sealed);
  check_change(format::decode_member_change(bytes), bytes);
  check_change(format::decode_settings(bytes), bytes);
  return 0;
}
