#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace parley::storage {

class Files;

/// What a walk over every checksum found.
struct VerifyReport {
  struct Problem {
    std::string file;      ///< "log.mdb", "store.mdb".
    std::string table;     ///< "" in log.mdb.
    std::string position;  ///< Such as "lsn 17", "hard state of slot 3", "conversation 12, seq 3".
    std::string what;      ///< One sentence's worth.
  };
  std::uint64_t log_records = 0;
  std::uint64_t hard_states = 0;
  std::uint64_t entries = 0;
  std::uint64_t conversations = 0;
  std::uint64_t sessions = 0;
  std::uint64_t cursors = 0;
  std::uint64_t slots = 0;
  std::uint64_t slot_index_rows = 0;  ///< 0 when the store was opened by another process, which has no need of them.
  std::uint64_t names = 0;
  std::uint64_t ids = 0;
  std::uint64_t bytes = 0;
  std::uint64_t problems_total = 0;
  std::vector<Problem> problems;  ///< The first 1,000.
};

/// Checks every record and row of both files: checksum, that it says what its key says, and that seqs and log positions
/// are dense. While a broker writes or not; it looks at 10,000 rows at a time and keeps no pages in between. Fails only
/// when a file can't be read at all.
Result<VerifyReport> verify(Files& files);

}  // namespace parley::storage
