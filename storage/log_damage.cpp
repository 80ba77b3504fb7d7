#include "storage/log_damage.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/record.hpp"
#include "storage/format/rows.hpp"
#include "storage/recovery.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

constexpr std::size_t kRowsPerSnapshot = 10'000;
constexpr std::string_view kRecordsWord = "records ";
constexpr std::string_view kFileWord = "file ";

std::string damage_path(const std::string& directory) { return directory + "/damaged"; }

bool is_corrupt(boost::system::error_code code) { return code == make_error_code(StorageError::CorruptRecord); }

/// Goes over records (first, last], in snapshots of a limited size.
class RecordWalk {
 public:
  RecordWalk(Files& files, Lsn behind, Lsn last, bool dense)
      : log_(files.log()), position_(behind), last_(last), dense_(dense) {}

  std::optional<LogDamage> walk() {
    while (more_) {
      const auto looked = look_on();
      if (!looked && is_corrupt(looked.error())) {
        return LogDamage{.readable = false, .what = "the file can't be read: " + looked.error().message()};
      }
      if (!looked) return std::nullopt;  // Want of memory, of a reader's place: that says nothing of the file.
      if (damage_) return damage_;
    }
    return std::nullopt;
  }

 private:
  Result<void> look_on() {
    const ReadScope scope(log_);
    PARLEY_TRY(scope.begun());
    PARLEY_TRY(Cursor cursor, log_.cursor(kLogTable));
    Cursor::Row row;
    std::size_t count = 0;
    more_ = cursor.seek(format::number_key(position_.next()), row);
    for (; more_ && count < kRowsPerSnapshot; more_ = cursor.next(row), ++count) {
      const Lsn position{format::number_from_key(row.key)};
      if (position > last_) {
        more_ = false;
        return {};
      }
      take(position, row.value);
      if (damage_) return {};
    }
    if (cursor.failed()) return log_.environment().translate(cursor.code(), "look for damage");
    return {};
  }

  void take(Lsn position, std::string_view bytes) {
    if (dense_ && position != position_.next()) {
      damage_ = LogDamage{.what = "lsn " + std::to_string(position_.value + 1) + ": a record is missing"};
    }
    position_ = position;
    const auto place = format::decode_position(bytes);
    if (!place && is_corrupt(place.error())) {
      damage_ = LogDamage{.what = "lsn " + std::to_string(position.value) + ": a record is damaged"};
    }
  }

  ReadTransaction log_;
  Lsn position_;
  const Lsn last_;
  const bool dense_;  ///< The front may be cut meanwhile; what is behind the store may not.
  bool more_ = true;
  std::optional<LogDamage> damage_;
};

Result<Lsn> watermark_of(Files& files) {
  ReadTransaction store(files.store());
  const ReadScope scope(store);
  PARLEY_TRY(scope.begun());
  return read_watermark(store);
}

/// What each slot may have promised or acknowledged at most, as hard states that come after that.
Result<std::map<Slot, format::HardStateRow>> find_next_states(Files& files) {
  using Position = format::SlotRow::Position;
  std::map<Slot, format::HardStateRow> next;
  PARLEY_TRY(const auto ends, find_latest_slot_ends(files));
  for (const SlotEnd& end : ends) {
    next[end.slot] = {.slot = end.slot, .term = end.term, .vote = {}, .lost_upto = {end.term, end.last}};
  }
  PARLEY_TRY(const auto states, find_hard_states(files));
  const auto place = [](const Position& position) { return std::pair(position.term, position.index); };
  for (const format::HardStateRow& state : states) {
    format::HardStateRow& row = next[state.slot];
    row.term = std::max(row.term, state.term);
    if (state.lost_before == Term{}) continue;
    // Lost again, before everything was back.
    const bool known = state.lost_upto != Position{};
    row.lost_upto = known ? std::max(row.lost_upto, state.lost_upto,
                                     [&](const auto& a, const auto& b) { return place(a) < place(b); })
                          : Position{};
  }
  for (auto& [slot, row] : next) row.term = row.lost_before = row.term.next();
  return next;
}

bool others_have(const SlotState& state, NodeId self) {
  constexpr std::size_t kVotersMin = 3;
  if (state.last == Index{0}) return true;
  // As long as no record has named any, the slot is this node's alone.
  if (state.replicas.empty()) return false;
  for (std::size_t i = 0; i < state.replicas.size(); ++i) {
    const bool replaced = i + 1 < state.replicas.size() && state.replicas[i + 1].index <= state.materialised;
    const auto& voters = state.replicas[i].voters;
    const bool votes = std::ranges::find(voters, self) != voters.end();
    if (!replaced && votes && voters.size() < kVotersMin) return false;
  }
  return true;
}

}  // namespace

std::optional<LogDamage> find_damage_behind_store(Files& files) {
  const auto states = find_hard_states(files);
  if (!states && is_corrupt(states.error())) {
    return LogDamage{.readable = false, .what = "a slot's hard state can't be read: " + states.error().message()};
  }
  const auto watermark = watermark_of(files);
  if (!watermark) return std::nullopt;  // Of the store, whose errors are its own.
  return RecordWalk(files, *watermark, {~0ULL}, true).walk();
}

std::optional<LogDamage> find_damage_before_store(Files& files) {
  const auto watermark = watermark_of(files);
  if (!watermark) return std::nullopt;
  return RecordWalk(files, Lsn{0}, *watermark, false).walk();
}

Result<bool> others_have_the_log(Files& files, NodeId self) {
  PARLEY_TRY(const auto states, find_slot_states(files));
  return std::ranges::all_of(states, [self](const SlotState& state) { return others_have(state, self); });
}

Result<void> begin_log_anew(Files& files) {
  PARLEY_TRY(const auto states, find_next_states(files));
  WriteTransaction log(files.log());
  PARLEY_TRY(log.begin());
  PARLEY_TRY(const auto header, log.get(kLogTable, format::number_key(kLogHeader)));
  if (!header) return StorageError::CorruptRecord;
  const std::string kept(*header);
  PARLEY_TRY(log.clear(kLogTable));
  PARLEY_TRY(log.put(kLogTable, format::number_key(kLogHeader), kept));
  std::string row;
  for (const auto& [slot, state] : states) {
    format::encode_row(row, state);
    PARLEY_TRY(log.put(kLogTable, format::hard_state_key(slot), row));
  }
  PARLEY_TRY(log.commit());
  return forget_what_the_log_lacks(files.log(), files.store());
}

namespace {

/// The next few; false when no more are left.
Result<bool> cut_some(Environment& environment, Lsn upto) {
  WriteTransaction log(environment);
  PARLEY_TRY(log.begin());
  PARLEY_TRY(Cursor cursor, log.cursor(kLogTable));
  Cursor::Row row;
  std::size_t gone = 0;
  while (gone < kRowsPerSnapshot && cursor.seek(format::number_key(kLogHeader.next()), row) &&
         Lsn{format::number_from_key(row.key)} <= upto) {
    if (const int code = cursor.erase(); code != 0) return environment.translate(code, "cut the log");
    ++gone;
  }
  PARLEY_TRY(log.check(cursor, "cut the log"));
  if (gone == 0) return false;
  PARLEY_TRY(log.commit());
  return true;
}

}  // namespace

Result<void> cut_log_to_store(Files& files) {
  PARLEY_TRY(const Lsn watermark, watermark_of(files));
  bool more = true;
  while (more) {
    PARLEY_TRY(more, cut_some(files.log(), watermark));
  }
  return forget_what_the_log_lacks(files.log(), files.store());
}

std::string to_line(const LogDamage& damage) {
  return std::string(damage.readable ? kRecordsWord : kFileWord).append(damage.what);
}

std::optional<LogDamage> read_damage(std::string_view line) {
  for (const std::string_view word : {kRecordsWord, kFileWord}) {
    if (line.starts_with(word)) {
      return LogDamage{.readable = word == kRecordsWord, .what = std::string(line.substr(word.size()))};
    }
  }
  return std::nullopt;
}

Result<void> note_damage(const std::string& directory, const LogDamage& damage) {
  const std::string path = damage_path(directory);
  const std::string text = to_line(damage) + "\n";
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (file < 0) return errno == EROFS || errno == EACCES ? StorageError::ReadOnly : StorageError::Failed;
  const bool written =
      ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
  const int why = errno;
  ::close(file);
  if (written) return {};
  return why == ENOSPC || why == EDQUOT ? StorageError::DiskFull : StorageError::Failed;
}

std::optional<LogDamage> noted_damage(const std::string& directory) {
  std::ifstream file(damage_path(directory));
  if (!file) return std::nullopt;
  std::string text(std::istreambuf_iterator<char>(file), {});
  while (!text.empty() && text.back() == '\n') text.pop_back();
  // Written while the disk was full: that there is one says enough.
  return read_damage(text).value_or(LogDamage{.what = "it was found before the last stop"});
}

void forget_damage(const std::string& directory) {
  [[maybe_unused]] const int gone = std::remove(damage_path(directory).c_str());
}

}  // namespace parley::storage
