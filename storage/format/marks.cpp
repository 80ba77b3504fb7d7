#include "storage/format/marks.hpp"

#include "base/bytes.hpp"
#include "base/check.hpp"
#include "storage/format/field_reader.hpp"
#include "storage/format/sealed.hpp"

namespace parley::format {
namespace {

constexpr std::uint8_t kRowVersion = 1;

void begin(std::string& to) {
  to.assign(kVersionOffset, '\0');
  append_big_endian(to, kRowVersion);
}

Result<FieldReader> open(std::string_view bytes) {
  PARLEY_TRY(check_seal(bytes, kRowVersion));
  FieldReader in(bytes);
  in.text(kSealSize);
  return in;
}

}  // namespace

std::string marks_text(std::span<const UserMark> marks) {
  std::string text;
  for (const UserMark& one : marks) {
    PARLEY_CHECK(one.user.size() <= 0xFF, "a user's name is longer than 255 bytes");
    append_big_endian(text, one.mark.read.value);
    append_big_endian(text, one.mark.delivered.value);
    append_big_endian(text, static_cast<std::uint8_t>(one.user.size()));
    text.append(one.user);
  }
  return text;
}

std::optional<std::vector<UserMark>> marks_of(std::string_view text) {
  std::vector<UserMark> marks;
  FieldReader in(text);
  while (!in.complete()) {
    UserMark one;
    one.mark.read = {in.integer<std::uint64_t>()};
    one.mark.delivered = {in.integer<std::uint64_t>()};
    one.user = in.text(in.integer<std::uint8_t>());
    if (in.failed() || one.user.empty()) return std::nullopt;
    marks.push_back(one);
  }
  return marks;
}

void encode_row(std::string& to, const Mark& row) {
  begin(to);
  append_big_endian(to, row.read.value);
  append_big_endian(to, row.delivered.value);
  seal(to.data(), to.size());
}

void encode_row(std::string& to, const TallyRow& row) {
  begin(to);
  append_big_endian(to, row.count);
  seal(to.data(), to.size());
}

Result<Mark> decode_mark_row(std::string_view bytes) {
  PARLEY_TRY(FieldReader in, open(bytes));
  Mark row;
  row.read = {in.integer<std::uint64_t>()};
  row.delivered = {in.integer<std::uint64_t>()};
  if (!in.complete()) return StorageError::CorruptRecord;
  return row;
}

Result<TallyRow> decode_tally_row(std::string_view bytes) {
  PARLEY_TRY(FieldReader in, open(bytes));
  const TallyRow row{in.integer<std::uint64_t>()};
  if (!in.complete()) return StorageError::CorruptRecord;
  return row;
}

}  // namespace parley::format
