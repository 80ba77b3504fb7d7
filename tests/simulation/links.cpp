#include "tests/simulation/links.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.hpp"

namespace parley::simulation {

using shard::ConnectionId;

void Links::add(WirePtr wire, std::string unread) {
  std::size_t place = 0;
  while (place < connections_.size() && connections_[place]->wire) ++place;
  if (place == connections_.size()) connections_.push_back(std::make_unique<Connection>());
  Connection& connection = *connections_[place];
  const std::uint32_t generation = connection.generation + 1;
  connection = {};
  connection.generation = generation;
  connection.wire = std::move(wire);
  connection.fresh_bytes = !unread.empty();
  connection.unconsumed = std::move(unread);
}

void Links::work(shard::Shard& shard, bool whole) {
  for (std::uint32_t place = 0; place < connections_.size(); ++place) {
    Connection& connection = *connections_[place];
    if (!connection.wire) continue;
    const ConnectionId id{place, connection.generation};
    if (connection.blocked || connection.closing) {
      write(connection);
      if (connection.closing) {
        if (connection.output.empty() || connection.wire->client_gone) drop(connection);
        continue;
      }
      if (connection.blocked && connection.output.empty()) {
        connection.blocked = false;
        shard.drained(id);
      }
    }
    receive(shard, place, whole);
  }
}

void Links::receive(shard::Shard& shard, std::uint32_t place, bool whole) {
  Connection& connection = *connections_[place];
  if (!connection.wire || connection.closing || connection.ended) return;
  const ConnectionId id{place, connection.generation};
  const WirePtr wire = connection.wire;
  std::string& waiting = wire->to_broker;
  if (!connection.paused && (!waiting.empty() || connection.fresh_bytes)) {
    connection.fresh_bytes = false;
    const std::size_t count = whole ? waiting.size() : 1 + dice_.below(waiting.size());
    connection.unconsumed.append(waiting.substr(0, count));
    waiting.erase(0, count);
    // Exactly as many bytes as there are, so that a sanitizer sees whoever reads on.
    const std::vector<char> bytes(connection.unconsumed.begin(), connection.unconsumed.end());
    const std::size_t consumed = shard.received(id, {bytes.data(), bytes.size()});
    if (connection.wire == wire && connection.generation == id.generation) connection.unconsumed.erase(0, consumed);
  }
  const bool heard_out = connection.paused || (waiting.empty() && !connection.fresh_bytes);
  if (wire->client_gone && heard_out && connection.wire == wire && !connection.closing) {
    connection.ended = shard.ended(id);
    if (!connection.ended) drop(connection);
  }
}

void Links::pause(ConnectionId id) { at(id).paused = true; }

void Links::resume(ConnectionId id) {
  at(id).paused = false;
  at(id).fresh_bytes = true;
}

bool Links::has_work() const {
  return std::ranges::any_of(connections_, [](const auto& one) {
    if (!one->wire) return false;
    const Wire& wire = *one->wire;
    const bool writable = (one->blocked || one->closing) && (wire.to_client.size() < wire.room || wire.client_gone);
    if (one->ended) return one->closing;
    if (one->paused) return writable || wire.client_gone;
    return writable || one->fresh_bytes || (!one->closing && (!wire.to_broker.empty() || wire.client_gone));
  });
}

std::size_t Links::output_bytes() const {
  std::size_t bytes = 0;
  for (const auto& one : connections_) bytes += one->output.size();
  return bytes;
}

void Links::crash() {
  for (auto& connection : connections_) {
    if (connection->wire) drop(*connection);
  }
}

void Links::drop(Connection& connection) {
  connection.wire->broker_gone = true;
  connection.wire.reset();
  connection.output.clear();
  connection.unconsumed.clear();
}

void Links::write(Connection& connection) {
  Wire& wire = *connection.wire;
  while (!connection.output.empty()) {
    const std::size_t room = wire.room - std::min(wire.room, wire.to_client.size());
    std::array<iovec, 8> pieces{};
    const std::size_t count = connection.output.gather(pieces);
    std::size_t taken = 0;
    for (std::size_t i = 0; i < count && taken < room; ++i) {
      const std::size_t part = std::min(pieces[i].iov_len, room - taken);
      wire.to_client.append(static_cast<const char*>(pieces[i].iov_base), part);
      taken += part;
    }
    connection.output.consume(taken);
    if (taken == 0) return;
  }
}

Links::Connection& Links::at(ConnectionId connection) {
  PARLEY_CHECK(connection.place < connections_.size(), "the shard speaks of a connection that never was");
  Connection& found = *connections_[connection.place];
  PARLEY_CHECK(found.wire && found.generation == connection.generation && !found.closing,
               "the shard speaks of a connection that has gone");
  return found;
}

Output& Links::output(ConnectionId connection) { return at(connection).output; }

void Links::flush(ConnectionId id) {
  Connection& connection = at(id);
  if (connection.blocked) return;
  write(connection);
  connection.blocked = !connection.output.empty();
}

void Links::close(ConnectionId id) {
  Connection& connection = at(id);
  write(connection);
  connection.closing = true;
}

void Links::hand_over(ConnectionId id, shard::ShardId target, std::string_view unread) {
  Connection& connection = at(id);
  PARLEY_CHECK(connection.output.empty(), "a connection with output was handed over");
  auto wire = std::exchange(connection.wire, nullptr);
  hand_over_(target, std::move(wire), std::string(unread));
}

shard::Admission Links::admission(ConnectionId connection) const {
  const auto& found = *connections_.at(connection.place);
  return found.wire ? found.wire->admission : shard::Admission::Welcome;
}

std::string Links::address(ConnectionId connection) const { return "wire:" + std::to_string(connection.place); }

}  // namespace parley::simulation
