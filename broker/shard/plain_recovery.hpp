#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "broker/session/session.hpp"
#include "broker/shard/plain_journal.hpp"
#include "broker/shard/plain_rows.hpp"

namespace parley::shard {

class Shard;

/// Gives the shards back what plain.mdb has, before their first turn and after their sessions: queues of ordinary
/// messages, QoS 2 flows, retained messages. What belongs to no session any more is erased.
class PlainRecovery {
 public:
  /// `home` says which shard has the session of a client id, `shards` are all of them.
  PlainRecovery(std::vector<Shard*> shards, std::function<Shard&(std::string_view client_id)> home, Moment moment)
      : shards_(std::move(shards)), home_(std::move(home)), moment_(moment) {}

  /// Every row, the tables in the order of PlainTable but for Messages, which comes after Inbound; in order of keys.
  void row(PlainTable table, std::string_view key, std::string_view value);
  void finish();

  [[nodiscard]] std::size_t messages() const { return messages_; }
  [[nodiscard]] std::size_t retained() const { return retained_; }
  [[nodiscard]] std::size_t unreadable() const { return unreadable_; }

 private:
  struct Queue {
    std::string client_id;
    StoredQueue stored;
    Shard* home = nullptr;
    std::vector<session::Session::RestoredFlight> flights;
    struct Waiting {
      mqtt::MessagePtr message;
      PlainTarget target;
      session::StoredMessagePtr stored;
    };
    std::vector<Waiting> waiting;
  };
  void settle_queues();
  void message(std::uint64_t number, std::string_view value);
  void restore(Queue& queue);

  std::vector<Shard*> shards_;
  std::function<Shard&(std::string_view)> home_;
  Moment moment_;
  std::map<std::uint64_t, Queue> queues_;
  bool settled_ = false;
  std::size_t messages_ = 0;
  std::size_t retained_ = 0;
  std::size_t unreadable_ = 0;
};

}  // namespace parley::shard
