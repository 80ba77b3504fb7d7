#pragma once

#include <lmdb.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "storage/format/error.hpp"

/// LMDB with owners: an environment, its transactions and cursors. Private to storage/ and its tests.
namespace parley::storage {

class ReadTransaction;

struct EnvironmentSettings {
  std::string path;
  std::uint64_t map_size = 0;  ///< 0: the one that the file was written with.
  unsigned readers_max = 1024;
  bool read_only = false;
  bool read_ahead = true;
  std::vector<const char*> tables;  ///< None: the file is one table. Table i of them is asked for as `i`.
};

/// One LMDB file, opened once in a process (a second time would break its locks). Any thread.
///
/// LMDB stops an environment for good when it couldn't write its meta page; revive() opens it anew underneath
/// everybody: read transactions hold the gate while they look at data, so it waits for them, drops them, and they begin
/// again.
class Environment {
 public:
  /// NotFound when there is no file, or not all tables, and `read_only`.
  static Result<std::unique_ptr<Environment>> open(EnvironmentSettings settings);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  /// Closes and opens the file again, when `broken` is still the current opening. The calling thread has no
  /// transaction.
  Result<void> revive(std::uint64_t broken);
  /// Closes and opens the file again, so that LMDB forgets the memory it keeps of old pages. False when that can't be
  /// done now: somebody reads or writes all the time. The calling thread has no transaction.
  bool reopen();
  /// Counts the openings.
  [[nodiscard]] std::uint64_t opening() const { return opening_.load(std::memory_order_acquire); }

  /// Brings to the disk whatever the file shows.
  Result<void> sync();
  /// Frees the reader slots of processes that died. Returns how many there were.
  int clear_dead_readers();
  [[nodiscard]] const std::string& path() const { return settings_.path; }
  /// What LMDB or the system answered, in our words; logs what has no word of its own.
  boost::system::error_code translate(int code, const char* doing) const;

 private:
  friend class ReadTransaction;
  friend class WriteTransaction;

  explicit Environment(EnvironmentSettings settings) : settings_(std::move(settings)) {}
  int open_file();
  int open_tables(bool create);
  void close_file();
  /// Drops all idle read transactions; the gate is held exclusively.
  void drop_readers();
  /// The gate is held exclusively.
  Result<void> open_again();
  int adopt_map_size();
  [[nodiscard]] bool nearly_full() const;
  [[nodiscard]] MDB_dbi handle(std::size_t table) const { return handles_[table]; }

  EnvironmentSettings settings_;
  MDB_env* env_ = nullptr;
  std::vector<MDB_dbi> handles_;
  std::atomic<std::uint64_t> opening_{0};
  std::shared_mutex gate_;    ///< Shared: a transaction is active. Exclusive: env_ may be changed.
  std::mutex readers_mutex_;  ///< Guards readers_; taken after gate_ where both are.
  std::vector<ReadTransaction*> readers_;
};

/// A cursor of one transaction; cheap to copy, gone with its transaction.
class Cursor {
 public:
  explicit Cursor(MDB_cursor* cursor) : cursor_(cursor) {}

  struct Row {
    std::string_view key;
    std::string_view value;
  };
  /// False at the end, and when LMDB fails: then code() is not MDB_NOTFOUND.
  bool seek(std::string_view key, Row& row) { return move(MDB_SET_RANGE, &key, row); }
  bool seek_exactly(std::string_view key, Row& row) { return move(MDB_SET_KEY, &key, row); }
  bool first(Row& row) { return move(MDB_FIRST, nullptr, row); }
  bool last(Row& row) { return move(MDB_LAST, nullptr, row); }
  bool next(Row& row) { return move(MDB_NEXT, nullptr, row); }
  bool previous(Row& row) { return move(MDB_PREV, nullptr, row); }
  int put(std::string_view key, std::string_view value, unsigned flags = 0);
  int erase() { return mdb_cursor_del(cursor_, 0); }

  [[nodiscard]] bool failed() const { return code_ != MDB_SUCCESS && code_ != MDB_NOTFOUND; }
  [[nodiscard]] int code() const { return code_; }

 private:
  bool move(MDB_cursor_op operation, const std::string_view* key, Row& row);
  MDB_cursor* cursor_;
  int code_ = MDB_SUCCESS;
};

/// A snapshot of an environment that is taken again and again by one thread. Idle between end() and begin(): then it
/// keeps its place among the readers, but no pages.
class ReadTransaction {
 public:
  explicit ReadTransaction(Environment& environment);
  ~ReadTransaction();
  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;

  /// Sees everything that is committed now. 0.1 µs once the first one is done.
  Result<void> begin();
  void end();

  /// Changes with each commit that the snapshot contains, also across openings.
  [[nodiscard]] std::uint64_t version() const { return mdb_txn_id(transaction_); }

  /// Valid until end(). Nothing when there is no such key; fails with Failed.
  Result<std::optional<std::string_view>> get(std::size_t table, std::string_view key);
  /// How many rows a table has. Costs one look.
  Result<std::uint64_t> count(std::size_t table);
  /// One cursor a table, made once; the next call for the same table means the same cursor.
  Result<Cursor> cursor(std::size_t table);
  Environment& environment() { return environment_; }

 private:
  friend class Environment;
  void drop();
  static constexpr std::size_t kTablesMax = 32;

  struct KeptCursor {
    MDB_cursor* cursor = nullptr;
    bool current = false;  ///< Renewed since begin().
  };
  Environment& environment_;
  MDB_txn* transaction_ = nullptr;
  bool active_ = false;
  std::array<KeptCursor, kTablesMax> cursors_{};
};

/// begin() … end() as a scope.
class ReadScope {
 public:
  explicit ReadScope(ReadTransaction& transaction) : transaction_(transaction), begun_(transaction.begin()) {}
  ~ReadScope() {
    if (begun_) transaction_.end();
  }
  ReadScope(const ReadScope&) = delete;
  ReadScope& operator=(const ReadScope&) = delete;
  [[nodiscard]] const Result<void>& begun() const { return begun_; }

 private:
  ReadTransaction& transaction_;
  Result<void> begun_;
};

/// One change of an environment: all of it is durable after commit(), or none is. One at a time, on one thread.
class WriteTransaction {
 public:
  explicit WriteTransaction(Environment& environment);
  ~WriteTransaction();
  WriteTransaction(const WriteTransaction&) = delete;
  WriteTransaction& operator=(const WriteTransaction&) = delete;

  Result<void> begin();
  Result<void> commit();

  Result<std::optional<std::string_view>> get(std::size_t table, std::string_view key);
  Result<void> put(std::size_t table, std::string_view key, std::string_view value, unsigned flags = 0);
  Result<void> erase(std::size_t table, std::string_view key);
  /// Every row of a table.
  Result<void> clear(std::size_t table);
  Result<Cursor> cursor(std::size_t table);
  /// Bytes of the pages that a table uses now.
  Result<std::uint64_t> size(std::size_t table);
  /// Of what `cursor` did last.
  Result<void> check(const Cursor& cursor, const char* doing) const;
  Environment& environment() { return environment_; }

  /// No reader sees a snapshot before this one, also of other processes, and none that begins later will.
  [[nodiscard]] std::uint64_t oldest_snapshot() const;

  /// After a failed begin() or commit(): LMDB has stopped the environment, see Environment::revive.
  [[nodiscard]] bool environment_stopped() const { return stopped_; }
  [[nodiscard]] std::uint64_t opening() const { return opening_; }

 private:
  Environment& environment_;
  MDB_txn* transaction_ = nullptr;
  std::uint64_t opening_ = 0;
  bool stopped_ = false;
  std::shared_lock<std::shared_mutex> gate_;
};

}  // namespace parley::storage
