#include "storage/environment.hpp"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <thread>

#include "base/check.hpp"
#include "base/log.hpp"

namespace parley::storage {
namespace {

MDB_val value_of(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
std::string_view view_of(const MDB_val& value) { return {static_cast<const char*>(value.mv_data), value.mv_size}; }

}  // namespace

// -- Environment --

Result<std::unique_ptr<Environment>> Environment::open(EnvironmentSettings settings) {
  std::unique_ptr<Environment> environment(new Environment(std::move(settings)));
  if (const int code = environment->open_file(); code != MDB_SUCCESS) {
    environment->close_file();
    return environment->translate(code, "open");
  }
  environment->clear_dead_readers();
  return environment;
}

Environment::~Environment() {
  PARLEY_CHECK(readers_.empty(), "an LMDB environment is closed before its read transactions");
  close_file();
}

int Environment::open_file() {
  if (const int code = mdb_env_create(&env_); code != MDB_SUCCESS) return code;
  if (settings_.map_size != 0) mdb_env_set_mapsize(env_, settings_.map_size);
  mdb_env_set_maxreaders(env_, settings_.readers_max);
  mdb_env_set_maxdbs(env_, static_cast<MDB_dbi>(settings_.tables.size()));
  unsigned flags = MDB_NOSUBDIR | MDB_NOTLS;
  if (settings_.read_only) flags |= MDB_RDONLY;
  if (!settings_.read_ahead) flags |= MDB_NORDAHEAD;
  if (const int code = mdb_env_open(env_, settings_.path.c_str(), flags, 0640); code != MDB_SUCCESS) return code;
  const int code = open_tables(false);
  if (code != MDB_NOTFOUND || settings_.read_only) return code;
  return open_tables(true);
}

int Environment::open_tables(bool create) {
  MDB_txn* transaction = nullptr;
  if (const int code = mdb_txn_begin(env_, nullptr, create ? 0 : MDB_RDONLY, &transaction); code != 0) return code;
  std::vector<MDB_dbi> handles;
  int code = MDB_SUCCESS;
  const auto open_one = [&](const char* name) {
    MDB_dbi handle = 0;
    if (code == MDB_SUCCESS) code = mdb_dbi_open(transaction, name, create ? MDB_CREATE : 0, &handle);
    handles.push_back(handle);
  };
  if (settings_.tables.empty()) open_one(nullptr);
  for (const char* name : settings_.tables) open_one(name);
  if (code != MDB_SUCCESS) {
    mdb_txn_abort(transaction);
    return code;
  }
  code = mdb_txn_commit(transaction);
  if (code == MDB_SUCCESS) {
    handles_ = std::move(handles);
    opening_.fetch_add(1, std::memory_order_acq_rel);
  }
  return code;
}

void Environment::close_file() {
  if (env_ != nullptr) mdb_env_close(env_);
  env_ = nullptr;
}

Result<void> Environment::revive(std::uint64_t broken) {
  const std::unique_lock gate(gate_);
  if (opening() != broken) return {};
  return open_again();
}

bool Environment::reopen() {
  constexpr int kTries = 200;
  for (int i = 0; i < kTries; ++i) {
    const std::unique_lock gate(gate_, std::try_to_lock);
    if (gate.owns_lock()) return open_again().has_value();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

Result<void> Environment::open_again() {
  drop_readers();
  close_file();
  if (const int code = open_file(); code != MDB_SUCCESS) {
    close_file();
    return translate(code, "open again");
  }
  return {};
}

void Environment::drop_readers() {
  const std::lock_guard lock(readers_mutex_);
  for (ReadTransaction* reader : readers_) reader->drop();
}

int Environment::adopt_map_size() {
  const std::unique_lock gate(gate_);
  drop_readers();
  return env_ == nullptr ? EBADF : mdb_env_set_mapsize(env_, 0);
}

Result<void> Environment::sync() {
  const std::shared_lock gate(gate_);
  const int code = env_ == nullptr ? EBADF : mdb_env_sync(env_, 1);
  if (code != MDB_SUCCESS) return translate(code, "sync");
  return {};
}

int Environment::clear_dead_readers() {
  int dead = 0;
  const std::shared_lock gate(gate_);
  if (env_ != nullptr) mdb_reader_check(env_, &dead);
  return dead;
}

bool Environment::nearly_full() const {
  constexpr std::uint64_t kNearly = 4ULL << 20;
  struct statvfs room {};
  return ::statvfs(settings_.path.c_str(), &room) == 0 && std::uint64_t{room.f_bavail} * room.f_frsize < kNearly;
}

boost::system::error_code Environment::translate(int code, const char* doing) const {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case MDB_MAP_FULL: return StorageError::DiskFull;
    case ENOENT:
    case MDB_NOTFOUND: return StorageError::NotFound;
    case EACCES:
    case EPERM:
    case EROFS: return StorageError::ReadOnly;
    case MDB_VERSION_MISMATCH: return StorageError::NewerFormat;
    default: break;
  }
  // LMDB 0.9 answers a write that was cut short with EIO.
  if (code == EIO && nearly_full()) return StorageError::DiskFull;
  log::error("the storage failed", {{"file", settings_.path}, {"doing", doing}, {"error", mdb_strerror(code)}});
  const bool corrupt = code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID;
  return corrupt ? StorageError::CorruptRecord : StorageError::Failed;
}

// -- Cursor --

bool Cursor::move(MDB_cursor_op operation, const std::string_view* key, Row& row) {
  MDB_val found_key = key != nullptr ? value_of(*key) : MDB_val{};
  MDB_val found_value{};
  code_ = mdb_cursor_get(cursor_, &found_key, &found_value, operation);
  if (code_ != MDB_SUCCESS) return false;
  row = {view_of(found_key), view_of(found_value)};
  return true;
}

int Cursor::put(std::string_view key, std::string_view value, unsigned flags) {
  MDB_val put_key = value_of(key);
  MDB_val put_value = value_of(value);
  return code_ = mdb_cursor_put(cursor_, &put_key, &put_value, flags);
}

// -- ReadTransaction --

ReadTransaction::ReadTransaction(Environment& environment) : environment_(environment) {
  const std::lock_guard lock(environment_.readers_mutex_);
  environment_.readers_.push_back(this);
}

ReadTransaction::~ReadTransaction() {
  if (active_) end();
  const std::shared_lock gate(environment_.gate_);
  const std::lock_guard lock(environment_.readers_mutex_);
  std::erase(environment_.readers_, this);
  drop();
}

void ReadTransaction::drop() {
  for (KeptCursor& kept : cursors_) {
    if (kept.cursor != nullptr) mdb_cursor_close(kept.cursor);
    kept = {};
  }
  if (transaction_ != nullptr) mdb_txn_abort(transaction_);
  transaction_ = nullptr;
}

Result<void> ReadTransaction::begin() {
  PARLEY_CHECK(!active_, "a read transaction is begun twice");
  int code = MDB_SUCCESS;
  for (int attempt = 0; attempt < 3; ++attempt) {
    environment_.gate_.lock_shared();
    if (environment_.env_ == nullptr) {
      code = EBADF;
    } else if (transaction_ != nullptr) {
      code = mdb_txn_renew(transaction_);
    } else {
      code = mdb_txn_begin(environment_.env_, nullptr, MDB_RDONLY, &transaction_);
    }
    if (code == MDB_SUCCESS) {
      for (KeptCursor& kept : cursors_) kept.current = false;
      active_ = true;
      return {};
    }
    environment_.gate_.unlock_shared();
    if (code == MDB_READERS_FULL) {
      environment_.clear_dead_readers();
    } else if (code == MDB_MAP_RESIZED) {
      environment_.adopt_map_size();
    } else {
      break;
    }
  }
  return environment_.translate(code, "begin reading");
}

void ReadTransaction::end() {
  if (!active_) return;
  mdb_txn_reset(transaction_);
  active_ = false;
  environment_.gate_.unlock_shared();
}

Result<std::optional<std::string_view>> ReadTransaction::get(std::size_t table, std::string_view key) {
  MDB_val wanted = value_of(key);
  MDB_val found{};
  const int code = mdb_get(transaction_, environment_.handle(table), &wanted, &found);
  if (code == MDB_NOTFOUND) return std::optional<std::string_view>();
  if (code != MDB_SUCCESS) return environment_.translate(code, "read");
  return std::optional<std::string_view>(view_of(found));
}

Result<std::uint64_t> ReadTransaction::count(std::size_t table) {
  MDB_stat stat{};
  const int code = mdb_stat(transaction_, environment_.handle(table), &stat);
  if (code != MDB_SUCCESS) return environment_.translate(code, "count a table's rows");
  return std::uint64_t{stat.ms_entries};
}

Result<Cursor> ReadTransaction::cursor(std::size_t table) {
  KeptCursor& kept = cursors_.at(table);
  int code = MDB_SUCCESS;
  if (kept.cursor == nullptr) {
    code = mdb_cursor_open(transaction_, environment_.handle(table), &kept.cursor);
  } else if (!kept.current) {
    code = mdb_cursor_renew(transaction_, kept.cursor);
  }
  if (code != MDB_SUCCESS) return environment_.translate(code, "open a cursor");
  kept.current = true;
  return Cursor(kept.cursor);
}

// -- WriteTransaction --

WriteTransaction::WriteTransaction(Environment& environment) : environment_(environment) {}

WriteTransaction::~WriteTransaction() {
  if (transaction_ != nullptr) mdb_txn_abort(transaction_);
}

Result<void> WriteTransaction::begin() {
  gate_ = std::shared_lock(environment_.gate_);
  opening_ = environment_.opening();
  const int code =
      environment_.env_ == nullptr ? MDB_PANIC : mdb_txn_begin(environment_.env_, nullptr, 0, &transaction_);
  if (code == MDB_SUCCESS) return {};
  stopped_ = code == MDB_PANIC;
  transaction_ = nullptr;
  gate_.unlock();
  if (stopped_) return StorageError::Failed;
  return environment_.translate(code, "begin writing");
}

Result<void> WriteTransaction::commit() {
  const int code = mdb_txn_commit(std::exchange(transaction_, nullptr));
  if (code == MDB_SUCCESS) {
    gate_.unlock();
    return {};
  }
  // LMDB shows that it has stopped by refusing the next one.
  MDB_txn* probe = nullptr;
  const int probed = mdb_txn_begin(environment_.env_, nullptr, 0, &probe);
  if (probed == MDB_SUCCESS) mdb_txn_abort(probe);
  stopped_ = probed == MDB_PANIC;
  gate_.unlock();
  return environment_.translate(code, "commit");
}

Result<std::optional<std::string_view>> WriteTransaction::get(std::size_t table, std::string_view key) {
  MDB_val wanted = value_of(key);
  MDB_val found{};
  const int code = mdb_get(transaction_, environment_.handle(table), &wanted, &found);
  if (code == MDB_NOTFOUND) return std::optional<std::string_view>();
  if (code != MDB_SUCCESS) return environment_.translate(code, "read");
  return std::optional<std::string_view>(view_of(found));
}

Result<void> WriteTransaction::put(std::size_t table, std::string_view key, std::string_view value, unsigned flags) {
  MDB_val put_key = value_of(key);
  MDB_val put_value = value_of(value);
  const int code = mdb_put(transaction_, environment_.handle(table), &put_key, &put_value, flags);
  if (code != MDB_SUCCESS) return environment_.translate(code, "write");
  return {};
}

Result<void> WriteTransaction::erase(std::size_t table, std::string_view key) {
  MDB_val wanted = value_of(key);
  const int code = mdb_del(transaction_, environment_.handle(table), &wanted, nullptr);
  if (code != MDB_SUCCESS && code != MDB_NOTFOUND) return environment_.translate(code, "erase");
  return {};
}

Result<void> WriteTransaction::clear(std::size_t table) {
  const int code = mdb_drop(transaction_, environment_.handle(table), 0);
  if (code != MDB_SUCCESS) return environment_.translate(code, "clear a table");
  return {};
}

Result<Cursor> WriteTransaction::cursor(std::size_t table) {
  MDB_cursor* cursor = nullptr;
  const int code = mdb_cursor_open(transaction_, environment_.handle(table), &cursor);
  if (code != MDB_SUCCESS) return environment_.translate(code, "open a cursor");
  return Cursor(cursor);
}

std::uint64_t WriteTransaction::oldest_snapshot() const {
  std::uint64_t oldest = mdb_txn_id(transaction_) - 1;
  // A line for each reader: its process, its thread, and its snapshot or "-".
  const auto take = [](const char* line, void* context) {
    const std::string_view text(line);
    const auto last = text.find_last_of(' ');
    std::uint64_t snapshot = 0;
    const char* const begin = text.data() + (last == std::string_view::npos ? text.size() : last + 1);
    const auto read = std::from_chars(begin, text.data() + text.size(), snapshot);
    auto& lowest = *static_cast<std::uint64_t*>(context);
    if (read.ec == std::errc() && *read.ptr == '\n') lowest = std::min(lowest, snapshot);
    return 0;
  };
  mdb_reader_list(environment_.env_, take, &oldest);
  return oldest;
}

Result<std::uint64_t> WriteTransaction::size(std::size_t table) {
  MDB_stat stat{};
  const int code = mdb_stat(transaction_, environment_.handle(table), &stat);
  if (code != MDB_SUCCESS) return environment_.translate(code, "measure a table");
  return std::uint64_t{stat.ms_psize} * (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages);
}

Result<void> WriteTransaction::check(const Cursor& cursor, const char* doing) const {
  if (!cursor.failed()) return {};
  return environment_.translate(cursor.code(), doing);
}

}  // namespace parley::storage
