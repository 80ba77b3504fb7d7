#pragma once

#include <functional>
#include <vector>

#include "base/result.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// Persistent sessions in the log: when they change, where their cursors are. Belongs to its shard's thread.
class SessionRecords {
 public:
  explicit SessionRecords(Shard& shard) : shard_(shard) {}

  /// Writes the session as it is now, its cursors that have no record yet included; `done` (if any) once that is durable
  /// or refused. A session that ends with its connection is not written: `done` is called at once.
  void write(Client& client, Timestamp disconnected, std::function<void(Result<void>)> done);
  void write_end(Client& client);
  /// The client's acknowledgements moved; written with the next flush.
  void cursors_moved(Client& client);
  void flush_cursors();
  void flush_cursors(Client& client);

 private:
  void write_cursor(Client& client, std::string_view topic, Epoch epoch, Seq acknowledged);

  Shard& shard_;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> touched_;
};

}  // namespace parley::shard
