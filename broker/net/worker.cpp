#include "broker/net/worker.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.hpp"
#include "base/log.hpp"

namespace parley::net {
namespace {

/// What an epoll event is about when it is no connection: no place is as high.
constexpr std::uint64_t kMailboxId = 0xFFFF'FFFF;
constexpr std::uint64_t kListenerId = 0xFFFF'FFFE;  ///< With the listener's number above.

constexpr std::size_t kEventsMax = 256;
constexpr std::size_t kReadSize = 64 * 1024;
constexpr int kAcceptsMax = 64;  ///< In one turn, so that a storm of connections doesn't keep the others waiting.
constexpr Duration kAcceptPause = std::chrono::seconds(1);
constexpr Duration kRefusedLine = std::chrono::seconds(10);

Instant steady_now() { return std::chrono::steady_clock::now(); }

Timestamp wall_now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return {static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count())};
}

void watch(int epoll, int operation, int descriptor, std::uint64_t id) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = id}};
  PARLEY_CHECK(::epoll_ctl(epoll, operation, descriptor, &event) == 0, "a descriptor can't be watched");
}

}  // namespace

Worker::Worker(shard::ShardId id, const Context& context)
    : options_(context.options),
      node_connections_(context.connections),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      connections_(epoll_.number(), *this),
      shard_(id, context.shard_options, context.store, connections_, *this, random_),
      outgoing_(context.shard_options.shards),
      buffer_(new char[kReadSize]) {
  PARLEY_CHECK(epoll_.is_open(), "the kernel gives no epoll descriptor");
  watch(epoll_.number(), EPOLL_CTL_ADD, mailbox_.descriptor(), kMailboxId);
}

Worker::~Worker() = default;

void Worker::add_listener(Descriptor listener) {
  watch(epoll_.number(), EPOLL_CTL_ADD, listener.number(),
        kListenerId | static_cast<std::uint64_t>(listeners_.size()) << 32);
  listeners_.push_back(std::move(listener));
}

void Worker::run() {
  while (!has_stopped()) turn();
}

// -- The turn
// ----------------------------------------------------------------------------------------------------------

void Worker::turn() {
  std::array<epoll_event, kEventsMax> events;
  const int count = ::epoll_wait(epoll_.number(), events.data(), kEventsMax, wait_timeout());
  now_ = steady_now();
  shard_.begin_turn(now_, wall_now());
  bool has_mail = false;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kMailboxId) {
      has_mail = true;
    } else {
      handle(event.data.u64, event.events);
    }
  }
  if (has_mail) receive_mail();
  hear_of_lost();
  check_deadlines();
  shard_.end_turn();
  connections_.take_closing(changed_);
  for (const auto id : changed_) close_deadlines_.push_back({id, now_ + options_.close_timeout});
  send_peer_events();
}

/// Milliseconds until something is due; -1: nothing is.
int Worker::wait_timeout() const {
  if (connections_.has_lost()) return 0;
  Instant due = Instant::max();
  if (const auto timer = shard_.next_timer()) due = *timer;
  if (!connect_deadlines_.empty()) due = std::min(due, connect_deadlines_.front().due);
  if (!close_deadlines_.empty()) due = std::min(due, close_deadlines_.front().due);
  if (accept_again_ != Instant{}) due = std::min(due, accept_again_);
  if (stopping_) due = std::min(due, stop_due_);
  if (due == Instant::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - steady_now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

void Worker::handle(std::uint64_t id, std::uint32_t events) {
  if ((id & 0xFFFF'FFFF) == kListenerId) {
    accept(id >> 32);
    return;
  }
  const auto connection = Connections::connection_of(id);
  if ((events & EPOLLOUT) != 0 && connections_.write_on(connection)) shard_.drained(connection);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read(connection);
}

void Worker::read(shard::ConnectionId id) {
  Connection* connection = connections_.find(id);
  if (connection == nullptr || connection->lost) return;
  const auto got = ::recv(connection->socket, buffer_.get(), kReadSize, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    if (connection->state == ConnectionState::Open) shard_.lost(id);
    drop(id);
    return;
  }
  if (connection->state == ConnectionState::Open) {
    receive(id, *connection, {buffer_.get(), static_cast<std::size_t>(got)});
  }
}

void Worker::receive(shard::ConnectionId id, Connection& connection, std::string_view bytes) {
  if (connection.unconsumed) {
    connection.unconsumed->append(bytes);
    bytes = *connection.unconsumed;
  }
  // The bytes stay where they are even if the shard closes the connection: it may still be reading them.
  const auto held = std::move(connection.unconsumed);
  const std::size_t consumed = shard_.received(id, bytes);
  Connection* after = connections_.find(id);
  if (after == nullptr || after->state != ConnectionState::Open) return;
  if (consumed != 0) after->greeted = true;
  if (consumed == bytes.size()) return;
  if (held && consumed == 0) {
    after->unconsumed = std::make_unique<std::string>(std::move(*held));
  } else {
    after->unconsumed = std::make_unique<std::string>(bytes.substr(consumed));
  }
}

void Worker::receive_mail() {
  mailbox_.take(mail_);
  for (shard::PeerEvent& event : mail_.peer_events) shard_.peer_event(event);
  for (auto& letter : mail_.letters) letter->deliver(shard_);
  for (Arrival& arrival : mail_.arrivals) {
    if (stopping_) continue;
    const auto id = connections_.add(std::move(arrival.socket));
    receive(id, *connections_.find(id), arrival.unread);
  }
  mail_.peer_events.clear();
  mail_.letters.clear();
  mail_.arrivals.clear();
  if (std::exchange(mail_.stop, false) && !stopping_) begin_stop();
}

void Worker::hear_of_lost() {
  // A will that is published for a lost client may find others lost.
  for (int round = 0; round < 16 && connections_.has_lost(); ++round) {
    connections_.take_lost(changed_);
    for (const auto id : std::exchange(changed_, {})) {
      const Connection* connection = connections_.find(id);
      if (connection == nullptr) continue;
      if (connection->state == ConnectionState::Open) shard_.lost(id);
      drop(id);
    }
  }
}

void Worker::check_deadlines() {
  while (!connect_deadlines_.empty() && connect_deadlines_.front().due <= now_) {
    const auto id = connect_deadlines_.front().connection;
    connect_deadlines_.pop_front();
    const Connection* connection = connections_.find(id);
    if (connection == nullptr || connection->greeted || connection->state != ConnectionState::Open) continue;
    log::info("no CONNECT came in time, closing the connection", {{"address", connections_.address(id)}});
    drop(id);
  }
  while (!close_deadlines_.empty() && close_deadlines_.front().due <= now_) {
    drop(close_deadlines_.front().connection);
    close_deadlines_.pop_front();
  }
  if (accept_again_ != Instant{} && accept_again_ <= now_) {
    accept_again_ = {};
    watch_listeners(true);
  }
}

void Worker::send_peer_events() {
  for (std::size_t target = 0; target < outgoing_.size(); ++target) {
    if (!outgoing_[target].empty()) workers_[target]->mailbox().send(outgoing_[target]);
  }
}

void Worker::drop(shard::ConnectionId id) {
  if (connections_.find(id) == nullptr) return;
  connections_.drop(id);
  node_connections_.fetch_sub(1, std::memory_order_relaxed);
}

// -- Accepting
// ---------------------------------------------------------------------------------------------------------

void Worker::accept(std::size_t listener) {
  for (int i = 0; i < kAcceptsMax && listener < listeners_.size(); ++i) {
    Descriptor socket(::accept4(listeners_[listener].number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.is_open()) {
      admit(std::move(socket));
      continue;
    }
    // Of a connection that has already gone there is nothing to say.
    if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) continue;
    if (errno != EAGAIN) pause_accepting(errno);
    return;
  }
}

void Worker::admit(Descriptor socket) {
  if (node_connections_.fetch_add(1, std::memory_order_relaxed) >= options_.connections_max) {
    node_connections_.fetch_sub(1, std::memory_order_relaxed);
    ++refused_;
    if (now_ - refused_told_ < kRefusedLine) return;
    refused_told_ = now_;
    log::warn("too many connections, closing new ones",
              {{"mqtt.max_connections", options_.connections_max}, {"refused", std::exchange(refused_, 0)}});
    return;
  }
  const int on = 1;
  ::setsockopt(socket.number(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  connect_deadlines_.push_back({connections_.add(std::move(socket)), now_ + options_.connect_timeout});
}

void Worker::pause_accepting(int error) {
  log::error("connections can't be accepted, trying again in a second",
             {{"error", boost::system::system_category().message(error)}, {"connections", connections_.size()}});
  accept_again_ = now_ + kAcceptPause;
  watch_listeners(false);
}

void Worker::watch_listeners(bool on) {
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    watch(epoll_.number(), on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, listeners_[i].number(),
          kListenerId | static_cast<std::uint64_t>(i) << 32);
  }
}

// -- Other workers
// -----------------------------------------------------------------------------------------------------

void Worker::leave(shard::ShardId target, Arrival arrival) { workers_[target]->mailbox().send(std::move(arrival)); }

void Worker::post(shard::ShardId target, shard::PeerEvent event) { outgoing_[target].push_back(std::move(event)); }

// -- The end
// -----------------------------------------------------------------------------------------------------------

void Worker::begin_stop() {
  stopping_ = true;
  stop_due_ = now_ + options_.stop_timeout;
  listeners_.clear();
  accept_again_ = {};
  shard_.shut_down();
  connections_.for_each([this](shard::ConnectionId id) {
    if (connections_.find(id)->state == ConnectionState::Open) connections_.close(id);
  });
}

bool Worker::has_stopped() const {
  if (!stopping_) return false;
  if (now_ >= stop_due_) {
    if (!shard_.settled()) log::error("the store doesn't answer, stopping without it");
    return true;
  }
  return shard_.settled() && connections_.size() == 0;
}

}  // namespace parley::net
