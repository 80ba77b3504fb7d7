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
constexpr int kAcceptsMax = 64;        ///< In one turn, so that a storm of connections doesn't keep the others waiting.
constexpr int kSecureAcceptsMax = 16;  ///< The same where each is followed by a handshake.
constexpr std::size_t kHandshakesMax = 8;  ///< That a worker has in the pool at a time.
constexpr std::size_t kHandshakesWaitingMax = 256;
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

/// What the client still owes, for the log.
std::string_view awaited(const Connection& connection) {
  if (!connection.transport) return "CONNECT";
  switch (connection.transport->stage()) {
    case Transport::Stage::ProxyHeader: return "PROXY header";
    case Transport::Stage::TlsHandshake: return "TLS handshake";
    case Transport::Stage::Upgrade: return "HTTP request";
    case Transport::Stage::Open: break;
  }
  return "CONNECT";
}

}  // namespace

Worker::Worker(shard::ShardId id, const Context& context)
    : options_(context.options),
      node_connections_(context.connections),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      connections_(epoll_.number(), *this, &context.shard_options.metrics->of(id)),
      shard_(id, context.shard_options, context.store, connections_, *this, context.nodes, random_,
             context.authenticator),
      outgoing_(context.shard_options.shards),
      handshake_pool_(context.handshakes),
      counters_(context.shard_options.metrics->of(id)),
      buffer_(new char[kReadSize]) {
  PARLEY_CHECK(epoll_.is_open(), "the kernel gives no epoll descriptor");
  watch(epoll_.number(), EPOLL_CTL_ADD, mailbox_.descriptor(), kMailboxId);
}

Worker::~Worker() = default;

void Worker::add_listener(Descriptor listener, const ListenerProfile& profile) {
  listeners_.push_back({.socket = std::move(listener), .profile = &profile, .is_watched = false});
  watch_listeners();
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
  counters_.set(Metric::Sockets, connections_.size());
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
  if (Connection* found = connections_.find(connection); found != nullptr && found->transport) [[unlikely]] {
    // One that has failed only lingers.
    if (found->transport->stage() == Transport::Stage::TlsHandshake && found->state == ConnectionState::Open) {
      park_for_handshake(connection, *found);
      return;
    }
  }
  if ((events & EPOLLOUT) != 0 && connections_.write_on(connection)) shard_.drained(connection);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read(connection);
}

void Worker::read(shard::ConnectionId id) {
  Connection* connection = connections_.find(id);
  if (connection == nullptr || connection->lost) return;
  if (connection->transport && connection->state == ConnectionState::Open) {
    read_through(id, *connection);
    return;
  }
  const IoResult got = receive_some(connection->socket, {buffer_.get(), kReadSize});
  if (got.status == IoResult::Status::Blocked) return;
  if (got.status == IoResult::Status::Ended) {
    if (connection->state == ConnectionState::Open) shard_.lost(id);
    drop(id);
    return;
  }
  if (connection->state == ConnectionState::Open) {
    receive(id, *connection, {buffer_.get(), got.size});
  }
}

void Worker::read_through(shard::ConnectionId id, Connection& connection) {
  const auto input = connection.transport->read(connection.socket, {buffer_.get(), kReadSize});
  if (!input.bytes.empty()) receive(id, connection, input.bytes);
  Connection* after = connections_.find(id);
  if (after == nullptr || after->state != ConnectionState::Open || !after->transport) return;
  if (after->transport->has_answers() && !after->blocked) connections_.flush(id);
  switch (input.status) {
    case Transport::Input::Status::Going: return;
    case Transport::Input::Status::WantsWrite: connections_.await_writable(id, *after); return;
    case Transport::Input::Status::Handshake: park_for_handshake(id, *after); return;
    case Transport::Input::Status::Ended: end(id); return;
    case Transport::Input::Status::Refused: refuse(id, input.why); return;
  }
}

void Worker::refuse(shard::ConnectionId id, std::string_view why) {
  counters_.add(Metric::TransportsRefused);
  log::info("transport refused, closing the connection", {{"address", connections_.address(id)}, {"why", why}});
  end(id);
}

/// The client is gone for the shard; what is still to be said to it is said.
void Worker::end(shard::ConnectionId id) {
  shard_.lost(id);
  connections_.close(id);
}

// -- TLS handshakes --

/// Nothing more is heard of the connection until the pool has done what it can.
void Worker::park_for_handshake(shard::ConnectionId id, Connection& connection) {
  if (connection.lost || connection.state != ConnectionState::Open) return;
  connections_.unwatch(connection);
  handshakes_waiting_.push_back(id);
  submit_handshakes();
}

void Worker::submit_handshakes() {
  while (handshakes_under_way_ < kHandshakesMax && !handshakes_waiting_.empty()) {
    const auto id = handshakes_waiting_.front();
    handshakes_waiting_.pop_front();
    Connection* connection = connections_.find(id);
    if (connection == nullptr || connection->lost || connection->state != ConnectionState::Open) continue;
    connection->away = true;
    ++handshakes_under_way_;
    handshake_pool_.submit({.stream = &connection->transport->tls(), .connection = id, .answer_to = &mailbox_});
  }
  const bool full =
      handshakes_waiting_.size() >= (handshakes_full_ ? kHandshakesWaitingMax / 2 : kHandshakesWaitingMax);
  if (std::exchange(handshakes_full_, full) != full) watch_listeners();
}

void Worker::go_on(const HandshakeResult& result) {
  --handshakes_under_way_;
  const auto id = result.connection;
  Connection& connection = *connections_.find(id);  // It doesn't go while it is away.
  connection.away = false;
  if (connection.lost || connection.state != ConnectionState::Open) {
    drop(id);
    return;
  }
  switch (result.outcome) {
    case TlsStream::Handshake::WantsRead: connections_.watch_again(id, connection, Connections::Wanted::Read); return;
    case TlsStream::Handshake::WantsWrite: connections_.watch_again(id, connection, Connections::Wanted::Write); return;
    case TlsStream::Handshake::Finished:
      counters_.add(Metric::TlsHandshakes);
      if (connection.transport->tls().resumed()) {
        counters_.add(Metric::TlsHandshakesResumed);
      }
      connection.transport->secure();
      connections_.watch_again(id, connection, Connections::Wanted::Read);
      return;
    case TlsStream::Handshake::Failed:
      counters_.add(Metric::TlsHandshakesFailed);
      log::info("TLS handshake failed, closing the connection",
                {{"address", connections_.address(id)}, {"why", result.why}});
      connections_.watch_again(id, connection, Connections::Wanted::Read);
      connections_.close(id);  // Lingers, so that the alert arrives.
      return;
  }
}

void Worker::receive(shard::ConnectionId id, Connection& connection, std::string_view bytes) {
  counters_.add(Metric::BytesReceived, bytes.size());
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
    const auto id = connections_.add(std::move(arrival.socket), arrival.listener, std::move(arrival.transport));
    receive(id, *connections_.find(id), arrival.unread);
    connections_.flush(id);
  }
  for (const HandshakeResult& result : mail_.handshakes) go_on(result);
  if (!mail_.handshakes.empty()) submit_handshakes();
  mail_.handshakes.clear();
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
    counters_.add(Metric::LimitConnectTime);
    log::info("no CONNECT came in time, closing the connection",
              {{"address", connections_.address(id)}, {"waited_for", awaited(*connection)}});
    drop(id);
  }
  while (!close_deadlines_.empty() && close_deadlines_.front().due <= now_) {
    drop(close_deadlines_.front().connection);
    close_deadlines_.pop_front();
  }
  if (accept_again_ != Instant{} && accept_again_ <= now_) {
    accept_again_ = {};
    watch_listeners();
  }
}

void Worker::send_peer_events() {
  for (std::size_t target = 0; target < outgoing_.size(); ++target) {
    if (!outgoing_[target].empty()) workers_[target]->mailbox().send(outgoing_[target]);
  }
}

void Worker::drop(shard::ConnectionId id) {
  Connection* connection = connections_.find(id);
  if (connection == nullptr) return;
  if (connection->away) {  // go_on will do it.
    connection->lost = true;
    return;
  }
  connections_.drop(id);
  node_connections_.fetch_sub(1, std::memory_order_relaxed);
}

// -- Accepting
// ---------------------------------------------------------------------------------------------------------

void Worker::accept(std::size_t listener) {
  if (listener >= listeners_.size()) return;
  const Listening& from = listeners_[listener];
  const int most = from.profile->tls ? kSecureAcceptsMax : kAcceptsMax;
  for (int i = 0; i < most; ++i) {
    Descriptor socket(::accept4(from.socket.number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.is_open()) {
      admit(std::move(socket), *from.profile);
      continue;
    }
    // Of a connection that has already gone there is nothing to say.
    if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) continue;
    if (errno != EAGAIN) pause_accepting(errno);
    return;
  }
}

void Worker::admit(Descriptor socket, const ListenerProfile& profile) {
  if (node_connections_.fetch_add(1, std::memory_order_relaxed) >= options_.connections_max) {
    node_connections_.fetch_sub(1, std::memory_order_relaxed);
    counters_.add(Metric::LimitConnections);
    ++refused_;
    if (now_ - refused_told_ < kRefusedLine) return;
    refused_told_ = now_;
    log::warn("too many connections, closing new ones",
              {{"mqtt.max_connections", options_.connections_max}, {"refused", std::exchange(refused_, 0)}});
    return;
  }
  counters_.add(Metric::SocketsAccepted);
  const int on = 1;
  if (profile.settings.scheme != config::Scheme::Unix) {
    ::setsockopt(socket.number(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  auto transport = Transport::make(profile, socket.number());
  const auto id = connections_.add(std::move(socket), &profile, std::move(transport));
  connect_deadlines_.push_back({id, now_ + options_.connect_timeout});
}

void Worker::pause_accepting(int error) {
  log::error("connections can't be accepted, trying again in a second",
             {{"error", boost::system::system_category().message(error)}, {"connections", connections_.size()}});
  accept_again_ = now_ + kAcceptPause;
  watch_listeners();
}

/// Those that may accept now are watched, the others aren't. A Unix socket is watched by every worker, and one is
/// woken.
void Worker::watch_listeners() {
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    Listening& listener = listeners_[i];
    const bool wanted = !stopping_ && accept_again_ == Instant{} && !(handshakes_full_ && listener.profile->tls);
    if (std::exchange(listener.is_watched, wanted) == wanted) continue;
    const bool shared = listener.profile->settings.scheme == config::Scheme::Unix;
    epoll_event event{.events = EPOLLIN, .data = {.u64 = kListenerId | static_cast<std::uint64_t>(i) << 32}};
    if (shared) event.events |= EPOLLEXCLUSIVE;
    PARLEY_CHECK(
        ::epoll_ctl(epoll_.number(), wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, listener.socket.number(), &event) == 0,
        "a listener can't be watched");
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
  accept_again_ = {};
  watch_listeners();  // Closing alone wouldn't do for a Unix socket, which other workers hold, too.
  listeners_.clear();
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
