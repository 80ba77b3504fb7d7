#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/output.hpp"
#include "broker/shard/shard.hpp"
#include "tests/simulation/dice.hpp"

namespace parley::simulation {

/// A TCP connection: bytes on their way, in both directions.
struct Wire {
  std::string to_broker;
  std::string to_client;
  std::size_t room = 1024 * 1024;  ///< Of `to_client`: what socket buffers take before the client reads.
  bool client_gone = false;
  bool broker_gone = false;
  shard::Admission admission = shard::Admission::Welcome;
};
using WirePtr = std::shared_ptr<Wire>;

/// One shard's connections.
class Links final : public shard::ClientLinks {
 public:
  /// Where a connection goes that is handed over, with what was received of it.
  using HandOver = std::function<void(shard::ShardId target, WirePtr wire, std::string unread)>;

  Links(Dice& dice, HandOver hand_over) : dice_(dice), hand_over_(std::move(hand_over)) {}

  void add(WirePtr wire, std::string unread = {});
  /// Hands bytes, ends and free room to the shard. `whole`: all that is there, else pieces that chance chooses.
  void work(shard::Shard& shard, bool whole);
  /// True when there is something that work() could hand over or write.
  [[nodiscard]] bool has_work() const;
  /// Bytes in Outputs: what the broker holds for clients that don't read.
  [[nodiscard]] std::size_t output_bytes() const;
  /// The process is gone, and its sockets with it.
  void crash();

  // -- ClientLinks --
  Output& output(shard::ConnectionId connection) override;
  void flush(shard::ConnectionId connection) override;
  void close(shard::ConnectionId connection) override;
  void hand_over(shard::ConnectionId connection, shard::ShardId target, std::string_view unread) override;
  void pause(shard::ConnectionId connection) override;
  void resume(shard::ConnectionId connection) override;
  [[nodiscard]] std::string address(shard::ConnectionId connection) const override;
  [[nodiscard]] shard::Admission admission(shard::ConnectionId connection) const override;

 private:
  struct Connection {
    std::uint32_t generation = 0;
    WirePtr wire;  ///< Null: the place is free.
    Output output;
    std::string unconsumed;
    bool fresh_bytes = false;  ///< `unconsumed` came with a hand-over and wasn't looked at.
    bool blocked = false;
    bool paused = false;
    bool closing = false;
    bool ended = false;  ///< The shard knows that the client sends no more, and closes it.
  };

  Connection& at(shard::ConnectionId connection);
  static void write(Connection& connection);
  void receive(shard::Shard& shard, std::uint32_t place, bool whole);
  void drop(Connection& connection);

  Dice& dice_;
  HandOver hand_over_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace parley::simulation
