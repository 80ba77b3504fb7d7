#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/commit_indexes.hpp"
#include "storage/data_directory.hpp"
#include "storage/environment.hpp"
#include "storage/files.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/keys.hpp"
#include "storage/format/record.hpp"
#include "storage/history.hpp"
#include "storage/log_writer.hpp"
#include "storage/materialiser.hpp"
#include "storage/store_tables.hpp"

/// What the tests of storage have in common: a directory that goes away, records, and a store to put them in.
namespace parley::storage::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_((std::filesystem::temp_directory_path() / "parley-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp");
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The value of a result that has one; throws when it has none.
template <class T>
T must(Result<T> result) {
  return std::move(result.value());
}

inline constexpr Slot kSlot{3};
inline constexpr std::uint64_t kMorning = 1'700'000'000'000;  ///< ts of seq 0; each entry is 10 ms later.

/// Records of one slot, with their indexes given in order.
class Records {
 public:
  explicit Records(Slot slot = kSlot) : slot_(slot) {}

  /// The next record is of another term and stands at `index`, which may have been given before.
  void go_on_at(Term term, Index index) {
    term_ = term;
    index_ = {index.value - 1};
  }
  std::string replicas(const std::vector<NodeId>& voters, const std::vector<NodeId>& learners = {}) {
    const std::string voting = format::nodes_text(voters);
    const std::string learning = format::nodes_text(learners);
    return format::encode_record(next(), format::ReplicasRecord{.voters = voting, .learners = learning});
  }
  std::string no_op() { return format::encode_record(next(), format::NoOpRecord{}); }
  std::string conversation(std::string_view name) {
    const auto position = next();
    last_number_ = conversation_number(position.slot, position.index);
    return format::encode_record(
        position, format::ConversationRecord{.name = name, .epoch = {77}, .created = {kMorning}, .creator = "ann"});
  }
  /// Of the conversation created last.
  [[nodiscard]] ConversationNumber number() const { return last_number_; }

  static Timestamp time_of(Seq seq) { return {kMorning + 10 * seq.value}; }
  static std::string id_of(Seq seq) { return "id" + std::to_string(seq.value); }
  static std::string payload_of(ConversationNumber number, Seq seq) {
    return "entry " + std::to_string(seq.value) + " of " + std::to_string(number.value);
  }

  std::string entry(ConversationNumber number, Seq seq) {
    return entry(number, seq, time_of(seq), "ann", id_of(seq), payload_of(number, seq));
  }
  /// Of every other one its publisher is known, so that there are records of both versions.
  std::string entry(ConversationNumber number, Seq seq, Timestamp ts, std::string_view from, std::string_view id,
                    std::string_view payload = "x") {
    return format::encode_record(next(), format::EntryRecord{.conversation = number,
                                                             .seq = seq,
                                                             .ts = ts,
                                                             .id_from_client = true,
                                                             .publisher = seq.value % 2 == 0 ? 0x1122'3344'5566U : 0,
                                                             .from = from,
                                                             .id = id,
                                                             .payload = payload});
  }
  std::string edit(ConversationNumber number, Seq seq, Seq message, std::string_view payload) {
    return amendment(number, seq, message, format::EntryKind::Edit, payload);
  }
  std::string redact(ConversationNumber number, Seq seq, Seq message) {
    return amendment(number, seq, message, format::EntryKind::Redact, {});
  }
  std::string retention(ConversationNumber number, Seq oldest) {
    return format::encode_record(next(), format::RetentionRecord{.conversation = number, .oldest = oldest});
  }
  std::string settings(ConversationNumber number, Seq seq, const format::Settings& settings) {
    const std::string payload = format::encode_change(settings);
    return format::encode_record(next(), format::EntryRecord{.conversation = number,
                                                             .seq = seq,
                                                             .ts = time_of(seq),
                                                             .kind = format::EntryKind::Settings,
                                                             .from = "ann",
                                                             .id = id_of(seq),
                                                             .payload = payload});
  }
  std::string session(std::string_view client, std::string_view state) {
    return format::encode_record(
        next(), format::SessionRecord{.client_id = client, .user = "ann", .expiry_interval = 60, .state = state});
  }
  std::string session_end(std::string_view client) {
    return format::encode_record(next(), format::SessionEndRecord{.client_id = client});
  }
  std::string cursor(std::string_view client, std::string_view topic, Seq acknowledged) {
    return format::encode_record(
        next(), format::CursorRecord{.client_id = client, .topic = topic, .epoch = {77}, .acknowledged = acknowledged});
  }
  [[nodiscard]] Index last_index() const { return index_; }

 private:
  std::string amendment(ConversationNumber number, Seq seq, Seq message, format::EntryKind kind,
                        std::string_view payload) {
    return format::encode_record(next(), format::EntryRecord{.conversation = number,
                                                             .seq = seq,
                                                             .ts = time_of(seq),
                                                             .kind = kind,
                                                             .ref = message,
                                                             .from = "ann",
                                                             .id = id_of(seq),
                                                             .payload = payload});
  }
  format::RecordPosition next() {
    index_ = index_.next();
    return {slot_, term_, index_};
  }
  Slot slot_;
  Term term_{1};
  Index index_;
  ConversationNumber last_number_;
};

inline Files::Options small_files() { return {.log_map_size = 256ULL << 20, .store_map_size = 256ULL << 20}; }

/// Both files in a directory of their own, one writer, one materialiser; reopen() is a restart.
class World {
 public:
  World() { open(); }

  void open() {
    std::filesystem::create_directories(directory());
    files_ = Files::open_to_write(directory(), small_files());
    if (keeps_commit_indexes_) files_->keep_commit_indexes();
    writer_ = std::make_unique<LogWriter>(files_);
    materialiser_ = std::make_unique<Materialiser>(files_, Materialiser::Options{.index_slots = keeps_commit_indexes_});
    history_ = std::make_unique<History>(files_);
  }
  void close() {
    history_.reset();
    materialiser_.reset();
    writer_.reset();
    files_.reset();
  }
  void reopen() {
    close();
    open();
  }
  /// From now on, as a broker's whose slots 0 to 9 have other replicas: nothing new is committed but by commit().
  void keep_commit_indexes() {
    keeps_commit_indexes_ = true;
    reopen();
    std::vector<format::HardStateRow> states;
    for (std::uint64_t slot = 0; slot < 10; ++slot) states.push_back({{slot}, {1}, {7}});
    must(writer_->append({}, states));
  }
  void commit(std::uint64_t index, Slot slot = kSlot) { files_->commit_indexes()->raise(slot, {index}); }

  [[nodiscard]] std::string directory() const { return temporary_.path() + "/storage-0"; }
  Files& files() { return *files_; }
  const std::shared_ptr<Files>& shared_files() { return files_; }
  LogWriter& writer() { return *writer_; }
  Materialiser& materialiser() { return *materialiser_; }
  History& history() { return *history_; }
  Records& records() { return records_; }

  Lsn append(const std::vector<std::string>& records) {
    const std::vector<std::string_view> views(records.begin(), records.end());
    return must(writer_->append(views));
  }
  ConversationNumber create(std::string_view name) {
    append({records_.conversation(name)});
    return records_.number();
  }
  /// Appends entries first … last of the conversation, each a record of one commit of them all.
  void say(ConversationNumber number, std::uint64_t first, std::uint64_t last) {
    std::vector<std::string> records;
    for (std::uint64_t seq = first; seq <= last; ++seq) records.push_back(records_.entry(number, {seq}));
    append(records);
  }
  /// Batches of `records` until the store has everything, or one batch if `once`.
  void materialise(std::size_t records = 50'000, bool once = false) {
    for (int step = 0; step < 100'000; ++step) {
      const auto done = materialiser_->step({.records_max = records});
      ASSERT_TRUE(done) << done.error().message();
      if (once || done->records == 0) return;
    }
    FAIL() << "materialising doesn't end";
  }
  Lsn watermark() { return files_->watermark(); }

  /// Changes a stored value behind everybody's back.
  void overwrite(Environment& environment, std::size_t table, std::string_view key, std::string_view value) {
    WriteTransaction transaction(environment);
    ASSERT_TRUE(transaction.begin());
    ASSERT_TRUE(transaction.put(table, key, value));
    ASSERT_TRUE(transaction.commit());
  }
  std::string stored(Environment& environment, std::size_t table, std::string_view key) {
    ReadTransaction transaction(environment);
    const ReadScope scope(transaction);
    const auto value = transaction.get(table, key);
    return value && *value ? std::string(**value) : std::string();
  }
  /// Flips one bit of the value under `key`; `from_end` bytes before its end.
  void damage(Environment& environment, std::size_t table, std::string_view key, std::size_t from_end = 1) {
    std::string value = stored(environment, table, key);
    ASSERT_GE(value.size(), from_end);
    value[value.size() - from_end] = static_cast<char>(value[value.size() - from_end] ^ 1);
    overwrite(environment, table, key, value);
  }

 private:
  TemporaryDirectory temporary_;
  std::shared_ptr<Files> files_;
  std::unique_ptr<LogWriter> writer_;
  std::unique_ptr<Materialiser> materialiser_;
  std::unique_ptr<History> history_;
  Records records_;
  bool keeps_commit_indexes_ = false;
};

/// Everything that stands in store.mdb, but for the secret and the watermark: to compare two stores.
inline std::vector<std::pair<std::string, std::string>> contents(Files& files) {
  std::vector<std::pair<std::string, std::string>> rows;
  ReadTransaction store(files.store());
  const ReadScope scope(store);
  for (std::size_t table = 0; table < std::size(kTableNames); ++table) {
    if (table == kMeta) continue;
    auto cursor = store.cursor(table);
    Cursor::Row row;
    for (bool found = cursor && cursor->first(row); found; found = cursor->next(row)) {
      rows.emplace_back(kTableNames[table] + std::string(":") + std::string(row.key), row.value);
    }
  }
  return rows;
}

inline std::vector<std::uint64_t> seqs_of(const Page& page) {
  std::vector<std::uint64_t> seqs;
  for (const auto& entry : page.entries) seqs.push_back((*entry)->seq.value);
  return seqs;
}

}  // namespace parley::storage::test
