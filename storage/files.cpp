#include "storage/files.hpp"

#include <sys/random.h>

#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "storage/commit_indexes.hpp"
#include "storage/environment.hpp"
#include "storage/format/keys.hpp"
#include "storage/open_failure.hpp"
#include "storage/recovery.hpp"
#include "storage/store_tables.hpp"

namespace parley::storage {
namespace {

constexpr std::string_view kLogMagic = "parley log";

EnvironmentSettings log_settings(const std::string& directory) { return {.path = directory + "/log.mdb"}; }
EnvironmentSettings store_settings(const std::string& directory, std::size_t tables = std::size(kTableNames)) {
  return {.path = directory + "/store.mdb",
          .read_ahead = false,
          .tables = {std::begin(kTableNames), std::begin(kTableNames) + tables}};
}

std::string reason(StorageError error) { return make_error_code(error).message(); }
StorageError error_of(boost::system::error_code code) { return static_cast<StorageError>(code.value()); }

[[noreturn]] void refuse(boost::system::error_code code, const std::string& path) {
  throw OpenFailure(error_of(code), path + " can't be opened: " + reason(error_of(code)));
}
template <class T>
T require(Result<T> result, const std::string& path) {
  if (!result) refuse(result.error(), path);
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

std::string number_bytes(std::uint32_t number) {
  std::string bytes;
  append_big_endian(bytes, number);
  return bytes;
}

Result<void> check_version(std::string_view row) {
  if (row.size() != 4) return StorageError::CorruptRecord;
  if (load_big_endian<std::uint32_t>(row.data()) > kFormatVersion) return StorageError::NewerFormat;
  return {};
}

}  // namespace

Files::Files(std::string directory, std::unique_ptr<Environment> log, std::unique_ptr<Environment> store)
    : directory_(std::move(directory)), log_(std::move(log)), store_(std::move(store)) {}
Files::~Files() = default;

std::shared_ptr<Files> Files::open_to_write(const std::string& directory, const Options& options) {
  auto log = log_settings(directory);
  auto store = store_settings(directory);
  log.map_size = options.log_map_size;
  store.map_size = options.store_map_size;
  log.readers_max = store.readers_max = options.readers_max;
  const std::string log_path = log.path;
  const std::string store_path = store.path;
  auto log_file = require(Environment::open(std::move(log)), log_path);
  auto store_file = require(Environment::open(std::move(store)), store_path);
  std::shared_ptr<Files> files(new Files(directory, std::move(log_file), std::move(store_file)));
  files->has_slot_index_ = true;
  files->prepare_log();
  files->prepare_store();
  return files;
}

Result<std::shared_ptr<Files>> Files::open_to_read(const std::string& directory, unsigned readers_max) {
  auto log = log_settings(directory);
  auto store = store_settings(directory, kTablesToRead);
  log.read_only = store.read_only = true;
  log.readers_max = store.readers_max = readers_max;
  PARLEY_TRY(auto log_file, Environment::open(std::move(log)));
  PARLEY_TRY(auto store_file, Environment::open(std::move(store)));
  std::shared_ptr<Files> files(new Files(directory, std::move(log_file), std::move(store_file)));
  PARLEY_TRY(files->check_formats());
  return files;
}

Result<void> Files::check_formats() {
  ReadTransaction log(*log_);
  ReadTransaction store(*store_);
  PARLEY_TRY(log.begin());
  PARLEY_TRY(store.begin());
  PARLEY_TRY(const auto header, log.get(kLogTable, format::number_key(kLogHeader)));
  PARLEY_TRY(const auto version, store.get(kMeta, kMetaFormat));
  PARLEY_TRY(const auto hash_key, store.get(kMeta, kMetaHashKey));
  if (!header || !version || !hash_key) return StorageError::NotFound;
  if (header->size() < kLogMagic.size() || !header->starts_with(kLogMagic)) return StorageError::CorruptRecord;
  PARLEY_TRY(check_version(header->substr(kLogMagic.size())));
  PARLEY_TRY(check_version(*version));
  if (hash_key->size() != 16) return StorageError::CorruptRecord;
  hash_key_ = {load_big_endian<std::uint64_t>(hash_key->data()), load_big_endian<std::uint64_t>(hash_key->data() + 8)};
  return {};
}

Lsn Files::watermark() const {
  ReadTransaction store(*store_);
  const ReadScope scope(store);
  const auto watermark = scope.begun() ? read_watermark(store) : Result<Lsn>(scope.begun().error());
  return watermark ? *watermark : Lsn{0};
}

Lsn Files::log_end() const {
  ReadTransaction log(*log_);
  const ReadScope scope(log);
  const auto range = scope.begun() ? read_log_range(log) : Result<LogRange>(scope.begun().error());
  ReadTransaction store(*store_);
  const ReadScope store_scope(store);
  const auto store_end = store_scope.begun() ? read_store_end(store) : Result<Lsn>(store_scope.begun().error());
  return std::max(range ? range->last : Lsn{0}, store_end ? *store_end : Lsn{0});
}

void Files::keep_commit_indexes() {
  const auto bounds = require(find_commit_bounds(*this), log_->path());
  commit_indexes_ = CommitIndexes::open_to_write(directory_, bounds);
}

int Files::clear_dead_readers() { return log_->clear_dead_readers() + store_->clear_dead_readers(); }

void Files::prepare_log() {
  WriteTransaction transaction(*log_);
  const std::string& path = log_->path();
  require(transaction.begin(), path);
  const auto header = require(transaction.get(kLogTable, format::number_key(kLogHeader)), path);
  if (header) return;
  const std::string row = std::string(kLogMagic) + number_bytes(kFormatVersion);
  require(transaction.put(kLogTable, format::number_key(kLogHeader), row), path);
  require(transaction.commit(), path);
}

void Files::prepare_store() {
  const std::string& path = store_->path();
  {
    WriteTransaction transaction(*store_);
    require(transaction.begin(), path);
    const auto version = require(transaction.get(kMeta, kMetaFormat), path);
    if (!version) {
      std::string secret(16, '\0');
      if (::getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size())) {
        throw OpenFailure(StorageError::Failed, "the system gives no random numbers");
      }
      require(transaction.put(kMeta, kMetaFormat, number_bytes(kFormatVersion)), path);
      require(transaction.put(kMeta, kMetaHashKey, secret), path);
      require(transaction.put(kMeta, kMetaWatermark, format::number_key(Lsn{0})), path);
      require(transaction.commit(), path);
    }
  }
  require(check_formats(), path);
  require(forget_what_the_log_lacks(*log_, *store_), path);
  ReadTransaction log(*log_);
  ReadTransaction store(*store_);
  const ReadScope log_scope(log);
  const ReadScope store_scope(store);
  require(log_scope.begun(), log_->path());
  require(store_scope.begun(), path);
  const LogRange range = require(read_log_range(log), log_->path());
  const Lsn watermark = require(read_watermark(store), path);
  if (range.first > watermark.next()) {
    throw OpenFailure(StorageError::CorruptRecord,
                      path + " ends at record " + std::to_string(watermark.value) + " but " + log_->path() +
                          " begins only at " + std::to_string(range.first.value) + ": one of them is too old a copy");
  }
  if (range.last < watermark) {
    log::warn("the log is shorter than the store, going on behind the store",
              {{"file", log_->path()}, {"log_end", range.last}, {"watermark", watermark}});
  }
}

}  // namespace parley::storage
