#include "broker/net/connections.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <span>
#include <utility>

#include "base/check.hpp"

namespace parley::net {
namespace {

/// Pieces of one write: 512 KiB, more than a socket takes.
constexpr std::size_t kPieces = 64;

/// Writes until the output is empty or the socket is full.
IoResult::Status write_plain(int socket, Output& output) {
  std::array<iovec, kPieces> pieces;
  while (!output.empty()) {
    const std::size_t count = output.gather(pieces);
    const IoResult written = send_some(socket, std::span(pieces).first(count));
    output.consume(written.size);
    if (written.status != IoResult::Status::Done) return written.status;
  }
  return IoResult::Status::Done;
}

}  // namespace

Connections::Connections(int epoll, Exits& exits, Counters* counters)
    : epoll_(epoll), exits_(exits), counters_(counters) {}

Connections::~Connections() {
  for (const Connection& connection : connections_) {
    if (connection.socket >= 0) ::close(connection.socket);
  }
}

shard::ConnectionId Connections::add(Descriptor socket, const ListenerProfile* listener,
                                     std::unique_ptr<Transport> transport) {
  std::uint32_t place = 0;
  if (free_.empty()) {
    place = static_cast<std::uint32_t>(connections_.size());
    connections_.emplace_back();
  } else {
    place = free_.back();
    free_.pop_back();
  }
  Connection& connection = connections_[place];
  if (++connection.generation == 0) ++connection.generation;  // 0 names no connection.
  connection.socket = socket.release();
  connection.state = ConnectionState::Open;
  connection.listener = listener;
  connection.transport = std::move(transport);
  ++size_;
  const shard::ConnectionId id{place, connection.generation};
  epoll_event event{.events = EPOLLIN, .data = {.u64 = id_of(id)}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.socket, &event) != 0) mark_lost(id, connection);
  return id;
}

Connection* Connections::find(shard::ConnectionId id) {
  if (id.place >= connections_.size()) return nullptr;
  Connection& connection = connections_[id.place];
  return connection.state != ConnectionState::Free && connection.generation == id.generation ? &connection : nullptr;
}

Output& Connections::output(shard::ConnectionId id) {
  Connection* connection = find(id);
  PARLEY_CHECK(connection != nullptr, "output was asked for of a connection that has gone");
  return connection->output;
}

void Connections::flush(shard::ConnectionId id) {
  Connection* connection = find(id);
  if (connection != nullptr && !connection->blocked) write(id, *connection);
}

bool Connections::write_on(shard::ConnectionId id) {
  Connection* connection = find(id);
  if (connection == nullptr || !connection->blocked) return false;
  connection->blocked = false;
  write(id, *connection);
  if (connection->blocked || connection->lost) return false;
  watch(id, *connection, false);
  if (connection->state == ConnectionState::Closing) {
    linger(*connection);
    return false;
  }
  return connection->state == ConnectionState::Open;
}

void Connections::write(shard::ConnectionId id, Connection& connection) {
  if (connection.away) return;
  const std::size_t before = connection.output.size();
  const auto status = connection.transport ? connection.transport->write(connection.socket, connection.output)
                                           : write_plain(connection.socket, connection.output);
  const std::size_t taken = before - connection.output.size();
  if (counters_ != nullptr) counters_->add(Metric::BytesSent, taken);
  if (taken != 0) connection.taken_at = now_;
  if (status == IoResult::Status::Done) return;
  if (status == IoResult::Status::Ended) {
    mark_lost(id, connection);
    return;
  }
  connection.blocked = true;
  if (taken == 0) connection.taken_at = now_;
  blocked_.push_back(id);
  watch(id, connection, true);
}

void Connections::pause(shard::ConnectionId id) {
  Connection* connection = find(id);
  if (connection == nullptr || std::exchange(connection->paused, true)) return;
  watch(id, *connection, connection->blocked);
}

void Connections::resume(shard::ConnectionId id) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  if (std::exchange(connection->paused, false)) watch(id, *connection, connection->blocked);
  if (!std::exchange(connection->again, true)) again_.push_back(id);
}

std::shared_ptr<shard::UserAccount> Connections::account(std::string_view user) {
  return users_ != nullptr ? users_->join(user) : nullptr;
}

void Connections::take_again(std::vector<shard::ConnectionId>& again) {
  again.clear();
  again.swap(again_);
}

void Connections::take_blocked(std::vector<shard::ConnectionId>& blocked) {
  blocked.clear();
  blocked.swap(blocked_);
}

void Connections::unwatch(Connection& connection) { ::epoll_ctl(epoll_, EPOLL_CTL_DEL, connection.socket, nullptr); }

void Connections::await_close(Connection& connection) {
  connection.ended = true;
  unwatch(connection);
}

void Connections::watch_again(shard::ConnectionId id, Connection& connection, Wanted wanted) {
  epoll_event event{.events = wanted == Wanted::Write ? EPOLLOUT : EPOLLIN, .data = {.u64 = id_of(id)}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.socket, &event) != 0) mark_lost(id, connection);
}

void Connections::await_writable(shard::ConnectionId id, Connection& connection) {
  connection.blocked = true;
  epoll_event event{.events = EPOLLOUT, .data = {.u64 = id_of(id)}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket, &event) != 0) mark_lost(id, connection);
}

void Connections::watch(shard::ConnectionId id, Connection& connection, bool writable) {
  epoll_event event{.events = connection.paused ? 0U : EPOLLIN, .data = {.u64 = id_of(id)}};
  if (writable) event.events |= EPOLLOUT;
  if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket, &event) != 0) mark_lost(id, connection);
}

void Connections::mark_lost(shard::ConnectionId id, Connection& connection) {
  connection.output.clear();
  if (std::exchange(connection.lost, true)) return;
  lost_.push_back(id);
}

void Connections::close(shard::ConnectionId id) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->state != ConnectionState::Open) return;
  connection->state = ConnectionState::Closing;
  connection->unconsumed.reset();
  if (std::exchange(connection->paused, false)) watch(id, *connection, connection->blocked);
  closing_.push_back(id);
  if (connection->transport && !connection->away) connection->transport->begin_close();
  if (!connection->blocked) write(id, *connection);
  if (!connection->blocked) linger(*connection);
}

/// Closing a socket with unread bytes would make the kernel send RST, which can take our last packet from the client.
void Connections::linger(Connection& connection) {
  connection.state = ConnectionState::Lingering;
  if (connection.transport && !connection.away) connection.transport->say_goodbye();
  ::shutdown(connection.socket, SHUT_WR);
}

void Connections::drop(shard::ConnectionId id) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  if (connection->socket >= 0) ::close(connection->socket);  // Which takes it out of the epoll set, too.
  const std::uint32_t generation = connection->generation;
  *connection = Connection{};
  connection->generation = generation;
  free_.push_back(id.place);
  --size_;
}

void Connections::hand_over(shard::ConnectionId id, shard::ShardId target, std::string_view unread) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->state != ConnectionState::Open) return;
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, connection->socket, nullptr);
  Arrival arrival{Descriptor(std::exchange(connection->socket, -1)),
                  std::string(unread),
                  connection->listener,
                  std::move(connection->transport),
                  std::move(connection->place),
                  connection->counted};
  drop(id);
  exits_.leave(target, std::move(arrival));
}

std::string Connections::address(shard::ConnectionId id) const {
  if (id.place >= connections_.size() || connections_[id.place].socket < 0) return "unknown";
  const Connection& connection = connections_[id.place];
  if (connection.transport && !connection.transport->client_address().empty()) {
    return connection.transport->client_address();
  }
  return peer_address(connection.socket);
}

shard::ConnectionDescription Connections::description(shard::ConnectionId id) const {
  if (id.place >= connections_.size() || connections_[id.place].listener == nullptr) return {};
  const Connection& connection = connections_[id.place];
  const auto& listener = *connection.listener;
  return {.listener = listener.number,
          .allow_anonymous = listener.settings.allow_anonymous,
          .is_secure = listener.settings.is_secure(),
          .certificate_user = connection.transport ? connection.transport->certificate_user() : std::string(),
          .transport = config::name_of(listener.settings.scheme)};
}

shard::Admission Connections::admission(shard::ConnectionId id) const {
  return id.place < connections_.size() ? connections_[id.place].admission : shard::Admission::Welcome;
}

void Connections::take_lost(std::vector<shard::ConnectionId>& lost) {
  lost.clear();
  lost.swap(lost_);
}

void Connections::take_closing(std::vector<shard::ConnectionId>& closing) {
  closing.clear();
  closing.swap(closing_);
}

}  // namespace parley::net
