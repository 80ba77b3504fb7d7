#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "storage/format/rows.hpp"

namespace parley::storage {

class Files;
class WriteTransaction;

/// Appends to log.mdb: the durability point. Format: docs/formats/log.md.
///
/// Belongs to one thread, the only one that writes to the log; end() may be asked by that thread only. One append is
/// one commit: 0.3 ms of waiting for the disk and about a microsecond a record.
class LogWriter {
 public:
  /// Finds the end. Throws OpenFailure.
  explicit LogWriter(std::shared_ptr<Files> files);

  /// Everything of `records` (encoded by format::encode_record) and `hard_states`, together at least one, survives
  /// power loss when this returns the first record's position, or where the next one will stand. A hard state replaces
  /// the slot's earlier one; of two the later one counts.
  ///
  /// After a failure no record is stored; a hard state may be, which makes a promise that nobody was told of. Fails
  /// with DiskFull, Failed; may be tried again at once, also after errors that make LMDB stop.
  Result<Lsn> append(std::span<const std::string_view> records, std::span<const format::HardStateRow> hard_states = {});

  /// The last record.
  [[nodiscard]] Lsn end() const { return end_; }

  struct CutRule {
    Lsn watermark;               ///< Only what the store has goes.
    Timestamp older_than;        ///< Records with an earlier time go …
    std::uint64_t size_max = 0;  ///< … and, oldest first, what makes the log's records take more than this many bytes.
    std::size_t records_max = 5'000;  ///< In one call.
  };
  /// Takes records away from the front and returns how many; never the last one, which tells where the log ends. A
  /// record without a time of its own is as old as the one before it, at the front as the next one that has a time.
  Result<std::size_t> cut(const CutRule& rule);

 private:
  Result<void> write(WriteTransaction& transaction, std::span<const std::string_view> records,
                     std::span<const format::HardStateRow> hard_states);
  Result<bool> reopen(std::uint64_t opening, std::size_t count);

  std::shared_ptr<Files> files_;
  Lsn end_;
  std::string row_;       ///< Hard states are encoded here.
  bool surplus_ = false;  ///< Records of an append that failed may stand behind end_.
};

}  // namespace parley::storage
