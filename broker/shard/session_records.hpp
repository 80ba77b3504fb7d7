#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "broker/session/session.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

class Shard;
struct Client;
struct Follower;

/// Persistent sessions in the log: when they change, where their cursors are. Belongs to its shard's thread.
///
/// A cursor's position is written once in ShardOptions::cursor_flush while it moves, and when its client leaves: after
/// a crash a session gets again what it acknowledged since. What can't be written is tried again with the next flush.
class SessionRecords {
 public:
  using Done = std::function<void(Result<void>)>;

  explicit SessionRecords(Shard& shard) : shard_(shard) {}

  /// Writes the session as it is now, its cursors that have no record yet included; `done` (if any) is called once that
  /// is durable or refused. `disconnected` 0: it has a connection. A session that ends with its connection is not
  /// written: `done` is called at once.
  void write(Client& client, Timestamp disconnected, Done done);
  /// The same for a client that is about to be connected with that will; one with an id makes also a session be written
  /// that ends with its connection.
  void write_opening(Client& client, std::optional<session::WillPlan> will, Done done);
  /// The same for another node, with what the session owes its client of ordinary topics.
  void write_moving(Client& client, Done done);
  /// It has so many subscriptions and cursors that another node could hardly be told of it.
  [[nodiscard]] bool is_too_large(const Client& client) const;
  void write_end(const std::string& client_id, std::uint64_t generation);
  /// The client's acknowledgements moved; written with the next flush.
  void cursors_moved(Client& client);
  /// The same, unless a session of that client id was begun and written in between.
  void write_end_unless_back(const std::string& client_id, std::uint64_t generation);
  /// What is due now, and what could not be written before.
  void flush();
  void flush_cursors(Client& client);
  /// Where a cursor of the client is about to go.
  void write_cursor(const Client& client, std::string_view topic, Epoch epoch, Seq position);

 private:
  void write_with(Client& client, Timestamp disconnected, std::optional<session::WillPlan> will, Done done);
  void write(Client& client, Timestamp disconnected, const std::string& state, Done done);
  void add(std::string_view client_id, std::uint64_t generation, const format::RecordBody& body, Done done);
  void write_cursor(const Client& client, Follower& follower);
  void write_cursors(Client& client, bool all);
  void written(std::uint32_t place, std::uint64_t identity, bool first, bool stored);
  void touch(Client& client);

  Shard& shard_;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> touched_;       ///< Clients with something to write.
  std::vector<std::pair<std::string, std::uint64_t>> unwritten_ends_;  ///< With their generations.
};

}  // namespace parley::shard
