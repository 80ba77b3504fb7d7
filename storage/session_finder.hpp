#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/format/record.hpp"
#include "storage/log_walk.hpp"
#include "storage/slot_queues.hpp"

namespace parley::storage {

class Files;
class ReadTransaction;
struct SessionChange;

/// A persistent session with its cursors; views live until the visitor returns.
struct StoredSessionView {
  format::SessionRecord session;
  std::vector<format::CursorRecord> cursors;
};
using SessionVisitor = std::function<void(const StoredSessionView&)>;

/// Looks sessions up by all that is durable, as for_each_session has them. Belongs to one thread.
///
/// Cost: a point read, and a walk over what is in memory of the log's tail. Memory: 32 bytes for each record of the log
/// that isn't materialised.
class SessionFinder {
 public:
  explicit SessionFinder(std::shared_ptr<Files> files);
  ~SessionFinder();

  /// The visitor isn't called when there is none. Fails with CorruptRecord, NewerFormat, Failed.
  Result<void> find(std::string_view client_id, const SessionVisitor& visit);

 private:
  struct Note {
    std::uint64_t client = 0;  ///< Hash of the client id that the record is about; 0: about none.
  };
  Result<void> follow();
  Result<void> drop_materialised();
  Result<void> queue(Lsn position, std::string_view bytes);
  /// Records about the client, in the order of the log.
  [[nodiscard]] std::vector<Lsn> positions(std::uint64_t client) const;

  std::shared_ptr<Files> files_;
  std::unique_ptr<ReadTransaction> log_;
  std::unique_ptr<ReadTransaction> store_;
  SlotQueues<Note> waiting_;
  LogWalk walk_;
  Lsn watermark_;
  std::uint64_t store_version_ = 0;
};

/// Hands the visitor a session of which `bytes` are the last record. `key`: of its row in the store, whose cursors
/// belong to it; none when it is new. `change`: what the log says beyond that, may be null.
Result<void> visit_session(ReadTransaction& store, std::string_view key, std::string_view bytes,
                           const SessionChange* change, const SessionVisitor& visit);

}  // namespace parley::storage
