#include "storage/plain_file.hpp"

#include "base/bytes.hpp"
#include "storage/environment.hpp"
#include "storage/open_failure.hpp"

namespace parley::storage {
namespace {

constexpr std::uint32_t kFormatVersion = 1;
constexpr std::size_t kMeta = PlainFile::kTables;
constexpr std::string_view kFormat = "format";
constexpr std::string_view kNextNumber = "next number";

template <class T>
T require(Result<T> result, const std::string& path) {
  if (!result) {
    const auto error = static_cast<StorageError>(result.error().value());
    throw OpenFailure(error, path + " can't be opened: " + make_error_code(error).message());
  }
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

}  // namespace

PlainFile::PlainFile(const std::string& directory, std::uint64_t map_size) {
  EnvironmentSettings settings{.path = directory + "/plain.mdb",
                               .map_size = map_size,
                               .readers_max = 16,
                               .tables = {"messages", "queues", "outbound", "inbound", "retained", "meta"}};
  const std::string path = settings.path;
  file_ = require(Environment::open(std::move(settings)), path);
  prepare();
}

PlainFile::~PlainFile() = default;

void PlainFile::prepare() {
  const std::string& path = file_->path();
  WriteTransaction transaction(*file_);
  require(transaction.begin(), path);
  const auto version = require(transaction.get(kMeta, kFormat), path);
  if (!version) {
    std::string row;
    append_big_endian(row, kFormatVersion);
    require(transaction.put(kMeta, kFormat, row), path);
    require(transaction.commit(), path);
    return;
  }
  if (version->size() != 4) require(Result<void>(StorageError::CorruptRecord), path);
  if (load_big_endian<std::uint32_t>(version->data()) > kFormatVersion) {
    require(Result<void>(StorageError::NewerFormat), path);
  }
  const auto next = require(transaction.get(kMeta, kNextNumber), path);
  if (next && next->size() == 8) next_number_ = load_big_endian<std::uint64_t>(next->data());
}

Result<void> PlainFile::write(std::span<const Change> changes) {
  const auto opening = file_->opening();
  auto done = commit(changes);
  // LMDB stops an environment for good when it couldn't write its meta page.
  if (!done && done.error() == make_error_code(StorageError::Failed)) {
    if (const auto revived = file_->revive(opening); !revived) return revived;
  }
  return done;
}

Result<void> PlainFile::commit(std::span<const Change> changes) {
  WriteTransaction transaction(*file_);
  PARLEY_TRY(transaction.begin());
  for (const Change& change : changes) {
    if (change.value) {
      PARLEY_TRY(transaction.put(change.table, change.key, *change.value));
    } else {
      PARLEY_TRY(transaction.erase(change.table, change.key));
    }
  }
  std::string row;
  append_big_endian(row, next_number_.load(std::memory_order_relaxed));
  PARLEY_TRY(transaction.put(kMeta, kNextNumber, row));
  return transaction.commit();
}

Result<void> PlainFile::visit(std::size_t table,
                              const std::function<void(std::string_view key, std::string_view value)>& visit) {
  ReadTransaction transaction(*file_);
  const ReadScope scope(transaction);
  if (!scope.begun()) return scope.begun();
  PARLEY_TRY(auto cursor, transaction.cursor(table));
  Cursor::Row row;
  for (bool found = cursor.first(row); found; found = cursor.next(row)) visit(row.key, row.value);
  if (cursor.failed()) return StorageError::Failed;
  return {};
}

}  // namespace parley::storage
