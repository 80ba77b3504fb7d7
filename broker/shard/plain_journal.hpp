#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "broker/session/journal.hpp"
#include "broker/shard/moved_queue.hpp"
#include "broker/shard/plain_rows.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// What is stored of a lasting session's ordinary messages: its number in plain.mdb, and how far it is.
struct ClientQueue {
  std::uint64_t number = 0;
  std::uint64_t settled = 0;                                       ///< Messages up to here need nothing more.
  std::uint64_t settled_stored = 0;                                ///< The same as it is on disk.
  std::vector<std::pair<mqtt::PacketId, std::uint64_t>> outbound;  ///< Packet ids and numbers with a row.
  bool touched = false;
  bool arriving = false;  ///< It comes from another node, whose copy may not go before this one is on disk.
};

/// A lasting session's queue as it was stored.
struct StoredQueue {
  std::uint64_t number = 0;
  std::uint64_t settled = 0;
  struct Flight {
    mqtt::PacketId id = 0;
    std::uint64_t number = 0;
    bool received = false;
  };
  std::vector<Flight> outbound;
  std::vector<mqtt::PacketId> inbound;
};

/// The log of ordinary messages and the cursors on it: a message is written once for all lasting sessions of the shard
/// that are owed it, and each session has one row that says how far it is. Collects a turn's changes into one batch.
/// Belongs to its shard's thread. docs/formats/plain.md.
///
/// A message that can't be stored is refused. Everything else is tried again with the next batch until it is stored, so
/// that QoS 2 waits rather than goes wrong.
class PlainJournal final : public session::Journal {
 public:
  explicit PlainJournal(Shard& shard);
  ~PlainJournal() override;

  // -- Messages --
  /// A new number for a message, which is let go of when nobody is owed it any more.
  session::StoredMessagePtr begin_message();
  void add_message(std::uint64_t number, const mqtt::Message& message, std::span<const PlainTarget> targets,
                   PlainOrigin origin);
  void add_retained(std::uint64_t number, const mqtt::Message& message, const routing::RetainStamp& stamp);
  void erase_retained(std::uint64_t number);
  /// The publication waits for what was added in this turn; PlainTopics::stored is called.
  void wait(std::uint64_t publication) { publications_.push_back(publication); }

  // -- Sessions --
  /// The number of the client's queue; it is made when there is none.
  std::uint64_t queue_of(Client& client);
  /// The client's QoS 2 publish is taken over; `then` is called once that is durable.
  void take_over(Client& client, mqtt::PacketId id, std::function<void()> then);
  void sending(session::Session& session, mqtt::PacketId id, std::uint64_t number) override;
  void received(session::Session& session, mqtt::PacketId id, std::uint64_t number) override;
  void released(session::Session& session, mqtt::PacketId id, std::uint32_t connection) override;
  void settled(session::Session& session, std::uint64_t number) override;
  [[nodiscard]] bool may_send(const session::Session& session, const mqtt::Message& message) const override;
  /// The session ends: nothing of its queue stays.
  void drop(Client& client);

  // -- Restoring --
  void restore(Client& client, const StoredQueue& queue);
  /// What another node owed the session's client, and which of its publishes aren't released. Packet ids go on at
  /// `first_id` where nothing was under way.
  void take_in(Client& client, std::vector<MovedMessage> messages, mqtt::PacketId first_id, Moment moment);
  /// Calls `then` once everything said so far of the client's queue is durable.
  void when_stored(Client& client, std::function<void()> then);
  /// Nobody is owed these any more.
  void erase_messages(const std::vector<std::uint64_t>& numbers) {
    unwanted_->insert(unwanted_->end(), numbers.begin(), numbers.end());
  }
  void erase(PlainTable table, std::string key);
  [[nodiscard]] const session::StoredMessage::Settled& unwanted() const { return unwanted_; }

  /// How far sessions are, and what nobody is owed any more: into the next batch.
  void flush_cursors();
  void flush_cursor(Client& client);
  /// Hands the turn's changes to the store.
  void flush();
  void written(std::uint64_t ticket, Result<void> outcome);
  [[nodiscard]] bool empty() const { return pending_.empty() && messages_.empty() && (steps_.empty() || failed_); }

 private:
  /// A change that must be made sooner or later, and what follows it.
  struct Step {
    PlainChange change;
    std::function<void()> then;
  };
  struct Batch {
    std::uint64_t ticket = 0;
    std::vector<Step> steps;
    std::vector<std::uint64_t> publications;
  };

  Client* client_of(const session::Session& session) const;
  void step(PlainTable table, std::string key, std::optional<std::string> value, std::function<void()> then = nullptr);
  void touch(Client& client);

  Shard& shard_;
  session::StoredMessage::Settled unwanted_;
  std::vector<PlainChange> messages_;
  std::vector<Step> steps_;
  std::vector<std::uint64_t> publications_;
  std::deque<Batch> pending_;
  std::uint64_t next_ticket_ = 1;
  bool failed_ = false;  ///< The last batch was not stored: what is tried again waits for flush_cursors.
  std::vector<std::pair<std::uint32_t, std::uint64_t>> touched_;  ///< Clients whose cursors have moved.
};

}  // namespace parley::shard
