#include "storage/format/rows.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/bytes.hpp"
#include "base/check.hpp"
#include "storage/format/field_reader.hpp"
#include "storage/format/sealed.hpp"

namespace parley::format {
namespace {

constexpr std::uint8_t kRowVersion = 1;
constexpr std::uint8_t kSlotRowVersion = 2;      // Version 1 ended behind `last`.
constexpr std::uint8_t kLostRowVersion = 2;      // Of a hard state that says what was lost; others have version 1.
constexpr std::uint8_t kLostUptoRowVersion = 3;  // And that knows where that had ended.

void begin(std::string& to, std::uint8_t version = kRowVersion) {
  to.assign(kVersionOffset, '\0');
  append_big_endian(to, version);
}

void append_position(std::string& to, const SlotRow::Position& position) {
  append_big_endian(to, position.term.value);
  append_big_endian(to, position.index.value);
}

SlotRow::Position read_position(FieldReader& in) {
  SlotRow::Position position;
  position.term = {in.integer<std::uint64_t>()};
  position.index = {in.integer<std::uint64_t>()};
  return position;
}

std::vector<NodeId> read_nodes(FieldReader& in, std::size_t count) { return nodes_of(in.text(count * 8)); }

/// What version 1 hadn't. A count that the bytes can't hold ends at once, since what is short stays so.
void read_rest(FieldReader& in, SlotRow& row) {
  row.through = {in.integer<std::uint64_t>()};
  row.base = read_position(in);
  for (auto count = in.integer<std::uint32_t>(); count > 0 && !in.failed(); --count) {
    row.terms.push_back(read_position(in));
  }
  for (auto count = in.integer<std::uint16_t>(); count > 0 && !in.failed(); --count) {
    SlotRow::Replicas set;
    set.index = {in.integer<std::uint64_t>()};
    const auto voters = in.integer<std::uint16_t>();
    const auto learners = in.integer<std::uint16_t>();
    set.voters = read_nodes(in, voters);
    set.learners = read_nodes(in, learners);
    row.replicas.push_back(std::move(set));
  }
}

}  // namespace

Term SlotRow::term_at(Index index) const {
  const auto behind = std::ranges::upper_bound(terms, index, {}, &Position::index);
  return behind == terms.begin() ? base.term : std::prev(behind)->term;
}

void SlotRow::begin_behind(Index index) {
  if (index <= base.index) return;
  const Term after = term_at(index.next());
  base = {term_at(index), index};
  std::erase_if(terms, [index](const Position& run) { return run.index <= index; });
  if (index < last && (terms.empty() || terms.front().index != index.next())) {
    terms.insert(terms.begin(), {after, index.next()});
  }
  const auto above = std::ranges::upper_bound(replicas, index, {}, &Replicas::index);
  if (above - replicas.begin() > 1) replicas.erase(replicas.begin(), above - 1);
}

void encode_row(std::string& to, const ConversationRow& row) {
  PARLEY_CHECK(row.name.size() <= 0xFFFF, "a conversation's name is longer than 65535 bytes");
  begin(to);
  append_big_endian(to, static_cast<std::uint8_t>(row.type));
  append_big_endian(to, static_cast<std::uint8_t>(row.visibility));
  for (const std::uint64_t number :
       {row.epoch.value, row.oldest.value, row.head.value, row.created.milliseconds, row.last_ts.milliseconds}) {
    append_big_endian(to, number);
  }
  append_big_endian(to, row.ids.generation);
  for (const std::uint64_t number : {row.ids.first.value, row.ids.started.milliseconds, row.ids.previous_first.value}) {
    append_big_endian(to, number);
  }
  append_big_endian(to, static_cast<std::uint16_t>(row.name.size()));
  to.append(row.name).append(row.creator);
  seal(to.data(), to.size());
}

void encode_row(std::string& to, const SlotRow& row) {
  begin(to, kSlotRowVersion);
  append_big_endian(to, row.term.value);
  append_big_endian(to, row.last.value);
  append_big_endian(to, row.through.value);
  append_position(to, row.base);
  append_big_endian(to, static_cast<std::uint32_t>(row.terms.size()));
  for (const SlotRow::Position& position : row.terms) append_position(to, position);
  append_big_endian(to, static_cast<std::uint16_t>(row.replicas.size()));
  for (const SlotRow::Replicas& set : row.replicas) {
    append_big_endian(to, set.index.value);
    append_big_endian(to, static_cast<std::uint16_t>(set.voters.size()));
    append_big_endian(to, static_cast<std::uint16_t>(set.learners.size()));
    to += nodes_text(set.voters);
    to += nodes_text(set.learners);
  }
  seal(to.data(), to.size());
}

void encode_row(std::string& to, const HardStateRow& row) {
  PARLEY_CHECK(row.slot.value <= 0xFFFF, "a hard state's slot number is above 65535");
  const bool lost = row.lost_before != Term{};
  const bool known = lost && row.lost_upto != SlotRow::Position{};
  begin(to, known ? kLostUptoRowVersion : lost ? kLostRowVersion : kRowVersion);
  append_big_endian(to, static_cast<std::uint16_t>(row.slot.value));
  append_big_endian(to, row.term.value);
  append_big_endian(to, row.vote.value);
  if (lost) append_big_endian(to, row.lost_before.value);
  if (known) append_position(to, row.lost_upto);
  seal(to.data(), to.size());
}

void encode_row(std::string& to, const IdRow& row) {
  to.clear();
  append_big_endian(to, row.seq.value);
  append_big_endian(to, row.ts.milliseconds);
}

Result<ConversationRow> decode_conversation_row(std::string_view bytes) {
  PARLEY_TRY(check_seal(bytes, kRowVersion));
  FieldReader in(bytes);
  in.text(kSealSize);
  ConversationRow row;
  row.type = static_cast<ConversationType>(in.integer<std::uint8_t>());
  row.visibility = static_cast<Visibility>(in.integer<std::uint8_t>());
  row.epoch = {in.integer<std::uint64_t>()};
  row.oldest = {in.integer<std::uint64_t>()};
  row.head = {in.integer<std::uint64_t>()};
  row.created = {in.integer<std::uint64_t>()};
  row.last_ts = {in.integer<std::uint64_t>()};
  row.ids.generation = in.integer<std::uint32_t>();
  row.ids.first = {in.integer<std::uint64_t>()};
  row.ids.started = {in.integer<std::uint64_t>()};
  row.ids.previous_first = {in.integer<std::uint64_t>()};
  row.name = in.text(in.integer<std::uint16_t>());
  row.creator = in.rest();
  if (!in.complete()) return StorageError::CorruptRecord;
  return row;
}

Result<SlotRow> decode_slot_row(std::string_view bytes) {
  PARLEY_TRY(check_seal(bytes, kSlotRowVersion));
  FieldReader in(bytes);
  in.text(kVersionOffset);
  const auto version = in.integer<std::uint8_t>();
  SlotRow row;
  row.term = {in.integer<std::uint64_t>()};
  row.last = {in.integer<std::uint64_t>()};
  row.base = {row.term, row.last};
  if (version >= 2) read_rest(in, row);
  if (!in.complete()) return StorageError::CorruptRecord;
  return row;
}

Result<HardStateRow> decode_hard_state_row(std::string_view bytes) {
  PARLEY_TRY(check_seal(bytes, kLostUptoRowVersion));
  FieldReader in(bytes);
  in.text(kVersionOffset);
  const auto version = in.integer<std::uint8_t>();
  HardStateRow row;
  row.slot = {in.integer<std::uint16_t>()};
  row.term = {in.integer<std::uint64_t>()};
  row.vote = {in.integer<std::uint64_t>()};
  const bool lost = version >= kLostRowVersion;
  const bool known = version >= kLostUptoRowVersion;
  if (lost) row.lost_before = {in.integer<std::uint64_t>()};
  if (known) row.lost_upto = read_position(in);
  // Each row has one encoding: the shortest.
  const bool longer = (lost && row.lost_before == Term{}) || (known && row.lost_upto == SlotRow::Position{});
  if (!in.complete() || longer) return StorageError::CorruptRecord;
  return row;
}

Result<IdRow> decode_id_row(std::string_view bytes) {
  FieldReader in(bytes);
  IdRow row;
  row.seq = {in.integer<std::uint64_t>()};
  row.ts = {in.integer<std::uint64_t>()};
  if (!in.complete()) return StorageError::CorruptRecord;
  return row;
}

}  // namespace parley::format
