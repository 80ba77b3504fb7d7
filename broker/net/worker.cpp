#include "broker/net/worker.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <span>
#include <utility>

#include "base/check.hpp"
#include "base/log.hpp"

namespace parley::net {
namespace {

/// What an epoll event is about when it is no connection: no place is as high.
constexpr std::uint64_t kMailboxId = 0xFFFF'FFFF;
constexpr std::uint64_t kListenerId = 0xFFFF'FFFE;  ///< With the listener's number above.

constexpr std::size_t kEventsMax = 1024;
constexpr std::size_t kReadSize = 64 * 1024;
constexpr int kAcceptsMax = 8;         ///< In one turn, so that a storm of connections doesn't keep the others waiting.
constexpr int kSecureAcceptsMax = 16;  ///< The same where each is followed by a handshake.
constexpr std::size_t kHandshakesMax = 8;  ///< That a worker has in the pool at a time.
constexpr std::size_t kHandshakesWaitingMax = 256;
/// Connections above a limit that are here to be told so, in all, those over TLS no more than …
constexpr std::size_t kSurplusMax = 256;
constexpr std::size_t kSecureSurplusMax = 64;
constexpr std::uint32_t kAddressSurplusMax = 8;  ///< … and of one address above its own limit. The others are cut.
constexpr Duration kAcceptPause = std::chrono::seconds(1);
constexpr Duration kStallLook = std::chrono::milliseconds(500);
/// So many packets are handled in a turn, whoever sends them, so that one who waits waits for no more than these …
constexpr std::size_t kTurnPackets = 512;
constexpr std::size_t kPacketsMin = 8;  ///< … but each connection gets so many.
/// For so long those are heard in a turn that want more than their share, or send packets that count for more.
constexpr Duration kBacklogTime = std::chrono::microseconds(500);
/// What is read beyond these packets is copied to wait for its turn.
constexpr std::size_t kReadSizeMin = 4 * 1024;
constexpr std::size_t kBytesAPacket = 128;

bool is_of_listener(const epoll_event& event) { return (event.data.u64 & 0xFFFF'FFFF) == kListenerId; }

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
      crowds_(context.crowds),
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
  if (options_.counts_users) connections_.count_users(crowds_.users);
}

Worker::~Worker() = default;

void Worker::add_listener(Descriptor listener, const ListenerProfile& profile) {
  listeners_.push_back({.socket = std::move(listener), .profile = &profile, .is_watched = false});
  watch_listeners();
}

void Worker::run() {
  while (!has_stopped()) turn();
}

// -- The turn --

/// First those that were quiet, with what costs little; then those that wait for more than their share, in a turn of
/// their own; newcomers last. Who has come from another thread is heard only once the kernel was asked again who has
/// sent something: a client that has said goodbye on one connection and comes back on the next has said it before.
void Worker::turn() {
  std::array<epoll_event, kEventsMax> events;
  const int count = ::epoll_wait(epoll_.number(), events.data(), kEventsMax, wait_timeout());
  const std::span<const epoll_event> came(events.data(), static_cast<std::size_t>(std::max(count, 0)));
  take_backlog();
  begin_turn(came.size() + backlog_.size());
  shard_.take_large_packets(false);
  const auto is_mail = [](const epoll_event& event) { return event.data.u64 == kMailboxId; };
  std::vector<Arrival> arrivals = std::exchange(arrivals_, {});
  if (std::ranges::any_of(came, is_mail)) receive_mail();
  for (const epoll_event& event : came) {
    if (!is_mail(event) && !is_of_listener(event)) handle(event.data.u64, event.events);
  }
  for (Arrival& arrival : arrivals) welcome(arrival);
  end_turn();
  take_backlog();
  if (!backlog_.empty()) {
    begin_turn(backlog_.size());
    read_backlog();
    end_turn();
  }
  for (const epoll_event& event : came) {
    if (is_of_listener(event)) accept(event.data.u64 >> 32);
  }
}

void Worker::begin_turn(std::size_t ready) {
  now_ = steady_now();
  connections_.set_now(now_);
  const std::size_t packets = std::max(kPacketsMin, kTurnPackets / std::max<std::size_t>(ready, 1));
  read_size_ = std::clamp(packets * kBytesAPacket, kReadSizeMin, kReadSize);
  shard_.begin_turn(now_, wall_now(), packets);
}

void Worker::end_turn() {
  hear_of_lost();
  check_deadlines();
  shard_.end_turn();
  connections_.take_closing(changed_);
  for (const auto id : changed_) {
    // Whoever has closed already needn't be waited for.
    const Connection* connection = connections_.find(id);
    const bool is_over = connection != nullptr && connection->ended && connection->state == ConnectionState::Lingering;
    if (is_over) {
      drop(id);
    } else {
      close_deadlines_.push_back({id, now_ + options_.close_timeout});
    }
  }
  connections_.take_blocked(changed_);
  for (const auto id : changed_) {
    if (Connection* connection = connections_.find(id)) watch_stall(id, *connection);
  }
  send_peer_events();
  counters_.set(Metric::Sockets, connections_.size());
}

/// Milliseconds until something is due; -1: nothing is.
int Worker::wait_timeout() const {
  if (now_ == Instant{}) return 0;  // The first turn starts the shard, whether or not anybody comes.
  if (connections_.has_lost() || connections_.has_again() || !backlog_.empty() || !arrivals_.empty()) return 0;
  Instant due = Instant::max();
  if (const auto timer = shard_.next_timer()) due = *timer;
  if (!connect_deadlines_.empty()) due = std::min(due, connect_deadlines_.front().due);
  if (!close_deadlines_.empty()) due = std::min(due, close_deadlines_.front().due);
  if (!stalls_.empty()) due = std::min(due, stalls_.front().due);
  if (accept_again_ != Instant{}) due = std::min(due, accept_again_);
  if (stopping_) due = std::min(due, stop_due_);
  if (due == Instant::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - steady_now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

void Worker::handle(std::uint64_t id, std::uint32_t events) {
  const auto connection = Connections::connection_of(id);
  if (Connection* found = connections_.find(connection); found != nullptr && found->transport) [[unlikely]] {
    // One that has failed only lingers.
    if (found->transport->stage() == Transport::Stage::TlsHandshake && found->state == ConnectionState::Open) {
      park_for_handshake(connection, *found);
      return;
    }
  }
  if ((events & EPOLLOUT) != 0 && connections_.write_on(connection)) shard_.drained(connection);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read(connection, (events & (EPOLLHUP | EPOLLERR)) != 0);
}

void Worker::take_backlog() {
  connections_.take_again(changed_);
  backlog_.insert(backlog_.end(), changed_.begin(), changed_.end());
}

/// One after the other while there is time, so that others wait neither for all of them nor for the largest packets.
void Worker::read_backlog() {
  const Instant end = now_ + kBacklogTime;
  do {
    const auto id = backlog_.front();
    backlog_.pop_front();
    Connection* connection = connections_.find(id);
    if (connection == nullptr || !connection->again) continue;
    connection->again = false;
    if (connection->state != ConnectionState::Open || connection->lost) continue;
    if (connection->unconsumed) process(id, *connection, {});
    connection = connections_.find(id);
    // What TLS has decrypted makes no event.
    const bool goes_on = connection != nullptr && connection->state == ConnectionState::Open && !connection->again;
    if (goes_on && !connection->paused) read(id, false);
  } while (!backlog_.empty() && steady_now() < end);
}

void Worker::read(shard::ConnectionId id, bool is_broken) {
  Connection* connection = connections_.find(id);
  if (connection == nullptr || connection->lost) return;
  const bool waits = (connection->paused || connection->again) && connection->state == ConnectionState::Open;
  if (waits) {
    // Whose turn comes again is heard out first.
    if (is_broken && connection->paused) {
      shard_.lost(id);
      drop(id);
    }
    return;
  }
  if (connection->transport && connection->state == ConnectionState::Open) {
    read_through(id, *connection);
    return;
  }
  const IoResult got = receive_some(connection->socket, {buffer_.get(), read_size_});
  if (got.status == IoResult::Status::Blocked) return;
  if (got.status == IoResult::Status::Ended) {
    if (connection->state == ConnectionState::Open && shard_.ended(id)) {
      connections_.await_close(*connection);
    } else {
      drop(id);
    }
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
  // Who has said goodbye is heard out, since there is no later turn.
  while (input.status == Transport::Input::Status::Ended && after != nullptr && after->again && after->unconsumed) {
    after->again = false;
    process(id, *after, {});
    after = connections_.find(id);
  }
  if (after == nullptr || after->state != ConnectionState::Open || !after->transport) return;
  if (after->transport->has_answers() && !after->blocked) connections_.flush(id);
  switch (input.status) {
    case Transport::Input::Status::Going: return;
    case Transport::Input::Status::WantsWrite: connections_.await_writable(id, *after); return;
    case Transport::Input::Status::Handshake: park_for_handshake(id, *after); return;
    case Transport::Input::Status::Ended:
      if (shard_.ended(id)) {
        connections_.await_close(*after);
      } else {
        connections_.close(id);
      }
      return;
    case Transport::Input::Status::Refused: refuse(id, input.why); return;
  }
}

void Worker::refuse(shard::ConnectionId id, std::string_view why) {
  counters_.add(Metric::TransportsRefused);
  log::info("transport refused, closing the connection", {{"address", connections_.address(id)}, {"why", why}});
  // The client is gone for the shard; what is still to be said to it is said.
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
  if (!connection.counted && !finds_place(id, connection)) return;
  process(id, connection, bytes);
}

/// Hands the shard what is kept of the connection, and `bytes` behind it; keeps what isn't consumed.
void Worker::process(shard::ConnectionId id, Connection& connection, std::string_view bytes) {
  if (connection.unconsumed) {
    connection.unconsumed->append(bytes);
    bytes = *connection.unconsumed;
  }
  // The bytes stay where they are even if the shard closes the connection: it may still be reading them.
  auto held = std::move(connection.unconsumed);
  const std::size_t consumed = shard_.received(id, bytes);
  Connection* after = connections_.find(id);
  if (after == nullptr || after->state != ConnectionState::Open) return;
  if (consumed != 0) after->greeted = true;
  if (consumed == bytes.size()) return;
  if (consumed != 0 || !held) after->partial_since = now_;
  if (held) {
    held->erase(0, consumed);
    after->unconsumed = std::move(held);
  } else {
    after->unconsumed = std::make_unique<std::string>(bytes.substr(consumed));
  }
  watch_stall(id, *after);
}

/// Where a load balancer speaks for its clients, their addresses are known only now.
bool Worker::finds_place(shard::ConnectionId id, Connection& connection) {
  connection.counted = true;
  if (options_.address_connections_max == 0) return true;
  std::string host = connections_.address(id);
  if (host.starts_with("unix:")) return true;
  host.resize(std::min(host.size(), host.rfind(':')));
  connection.place = CountedPlace(crowds_.addresses.join(host));
  if (connection.place.count() <= options_.address_connections_max) return true;
  if (finds_surplus_place(connection, host)) {
    shard_.limit_reached(Metric::LimitConnectionsPerAddress, connections_.address(id));
    return true;
  }
  cut(id, Metric::LimitConnectionsPerAddress, "its address has too many connections");
  return false;
}

/// It doesn't count among those that are welcome, so that it stands in nobody's way.
bool Worker::finds_surplus_place(Connection& connection, const std::string& host) {
  if (connection.admission != shard::Admission::Welcome) return false;
  connection.place = CountedPlace(crowds_.addresses.join("surplus of " + host));
  if (connection.place.count() > kAddressSurplusMax || !takes_surplus(*connection.listener)) return false;
  connection.admission = shard::Admission::TooManyOfAddress;
  return true;
}

void Worker::receive_mail() {
  mailbox_.take(mail_);
  mail_.for_each_in_order([this](shard::PeerEvent& event) { shard_.peer_event(event); },
                          [this](Letter& letter) { letter.deliver(shard_); });
  std::ranges::move(mail_.arrivals, std::back_inserter(arrivals_));
  for (const HandshakeResult& result : mail_.handshakes) go_on(result);
  if (!mail_.handshakes.empty()) submit_handshakes();
  mail_.handshakes.clear();
  mail_.peer_events.clear();
  mail_.letters.clear();
  mail_.arrivals.clear();
  if (std::exchange(mail_.stop, false) && !stopping_) begin_stop();
}

void Worker::welcome(Arrival& arrival) {
  if (stopping_) return;
  const auto id = connections_.add(std::move(arrival.socket), arrival.listener, std::move(arrival.transport));
  Connection& arrived = *connections_.find(id);
  arrived.place = std::move(arrival.place);
  arrived.counted = arrival.counted;
  process(id, arrived, arrival.unread);
  connections_.flush(id);
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
    shard_.limit_reached(Metric::LimitConnectTime, connections_.address(id));
    log::info("no CONNECT came in time, closing the connection",
              {{"address", connections_.address(id)}, {"waited_for", awaited(*connection)}});
    drop(id);
  }
  while (!close_deadlines_.empty() && close_deadlines_.front().due <= now_) {
    drop(close_deadlines_.front().connection);
    close_deadlines_.pop_front();
  }
  check_stalls();
  if (accept_again_ != Instant{} && accept_again_ <= now_) {
    accept_again_ = {};
    watch_listeners();
  }
}

void Worker::watch_stall(shard::ConnectionId id, Connection& connection) {
  if (std::exchange(connection.stalls, true)) return;
  stalls_.push_back({id, now_ + kStallLook});
}

/// Looks at those that have begun a packet, or that don't take what waits for them.
void Worker::check_stalls() {
  while (!stalls_.empty() && stalls_.front().due <= now_) {
    const auto id = stalls_.front().connection;
    stalls_.pop_front();
    Connection* connection = connections_.find(id);
    if (connection == nullptr || connection->state != ConnectionState::Open || connection->lost) continue;
    const bool waits = connection->paused || connection->again || !connection->greeted;
    const bool has_part = connection->unconsumed != nullptr && !waits;
    if (connection->blocked && now_ - connection->taken_at >= options_.write_timeout) {
      cut(id, Metric::LimitWriteTime, "it takes nothing of what waits for it");
    } else if (has_part && now_ - connection->partial_since >= options_.packet_timeout) {
      cut(id, Metric::LimitPacketTime, "the packet that it has begun doesn't end");
    } else if (connection->blocked || connection->unconsumed) {
      stalls_.push_back({id, now_ + kStallLook});
    } else {
      connection->stalls = false;
    }
  }
}

/// At once, and without a word: it wouldn't be read.
void Worker::cut(shard::ConnectionId id, Metric limit, std::string_view why) {
  shard_.limit_reached(limit, connections_.address(id));
  log::info("cutting a connection off", {{"address", connections_.address(id)}, {"why", why}});
  shard_.lost(id);
  drop(id);
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
  const auto admission = connection->admission;
  connections_.drop(id);
  if (admission != shard::Admission::Welcome) crowds_.surplus.fetch_sub(1, std::memory_order_relaxed);
  if (admission != shard::Admission::TooManyConnections) crowds_.connections.fetch_sub(1, std::memory_order_relaxed);
}

// -- Accepting --

void Worker::accept(std::size_t listener) {
  if (listener >= listeners_.size()) return;
  const Listening& from = listeners_[listener];
  const int most = from.profile->tls ? kSecureAcceptsMax : kAcceptsMax;
  for (int i = 0; i < most; ++i) {
    if (!may_accept()) return;
    Descriptor socket(::accept4(from.socket.number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.is_open()) {
      if (options_.accepts.is_limited()) accepts_bucket_.take(options_.accepts, now_, 1);
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
  const bool fits = crowds_.connections.fetch_add(1, std::memory_order_relaxed) < options_.connections_max;
  if (!fits) {
    crowds_.connections.fetch_sub(1, std::memory_order_relaxed);
    shard_.limit_reached(Metric::LimitConnections, peer_address(socket.number()));
    if (!takes_surplus(profile)) return;
  }
  counters_.add(Metric::SocketsAccepted);
  const int on = 1;
  if (profile.settings.scheme != config::Scheme::Unix) {
    ::setsockopt(socket.number(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  auto transport = Transport::make(profile, socket.number());
  const auto id = connections_.add(std::move(socket), &profile, std::move(transport));
  if (!fits) connections_.find(id)->admission = shard::Admission::TooManyConnections;
  connect_deadlines_.push_back({id, now_ + options_.connect_timeout});
  if (!profile.has_proxies() && profile.settings.scheme != config::Scheme::Unix) {
    (void)finds_place(id, *connections_.find(id));
  }
}

/// Whether one more may stay until it has been told that it is one too many. It costs as much as any until then, so
/// they are few.
bool Worker::takes_surplus(const ListenerProfile& profile) {
  const std::size_t most = profile.tls ? kSecureSurplusMax : kSurplusMax;
  if (crowds_.surplus.fetch_add(1, std::memory_order_relaxed) < most) return true;
  crowds_.surplus.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

/// Those that wait stay in the kernel's queue.
bool Worker::may_accept() {
  if (!options_.accepts.is_limited()) return true;
  const Duration wait = accepts_bucket_.wait(options_.accepts, now_);
  if (wait <= Duration::zero()) return true;
  shard_.limit_reached(Metric::LimitAcceptRate, "");
  accept_again_ = now_ + std::max<Duration>(wait, std::chrono::milliseconds(10));
  watch_listeners();
  return false;
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

// -- Other workers --

void Worker::leave(shard::ShardId target, Arrival arrival) { workers_[target]->mailbox().send(std::move(arrival)); }

void Worker::post(shard::ShardId target, shard::PeerEvent event) { outgoing_[target].push_back(std::move(event)); }

// -- The end --

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
