#include "broker/cluster/peer_links.hpp"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdlib>
#include <list>
#include <thread>
#include <utility>

#include "base/aio/within.hpp"
#include "base/log.hpp"
#include "broker/cluster/backoff.hpp"
#include "broker/cluster/peer_table.hpp"
#include "broker/cluster/random.hpp"

namespace parley::cluster {
namespace {

constexpr Duration kRefusalTimeout = std::chrono::milliseconds(200);  ///< For a refusal's bytes to leave.
constexpr Duration kStopTimeout = std::chrono::milliseconds(500);
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);  ///< When there are no descriptors, say.
constexpr aio::TcpOptions kTcpOptions{.unsent_max = 256 * 1024};   ///< Heartbeats wait behind no more than this.

Timestamp wall_clock() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return {static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count())};
}

Nonce fresh_nonce() {
  Nonce nonce{};
  fill_randomly(nonce);
  return nonce;
}

asio::awaitable<Result<void>> write_all(aio::Transport* transport, std::string bytes) {
  std::size_t begin = 0;
  while (begin < bytes.size()) {
    const iovec piece{bytes.data() + begin, bytes.size() - begin};
    const std::span<const iovec> pieces(&piece, 1);
    const auto written = co_await transport->write_some(pieces);
    if (!written) co_return written.error();
    begin += *written;
  }
  co_return Result<void>();
}

/// Exchanges frames until there is an outcome. `out` is what to say first; `unread` gets what came too early.
asio::awaitable<Result<Handshake::Outcome>> shake_hands(aio::Transport* transport, Handshake* handshake,
                                                        std::string out, std::string* unread) {
  Handshake::Outcome outcome;
  std::array<char, 2048> buffer{};
  while (true) {
    auto writing = write_all(transport, std::exchange(out, {}));
    const auto written = co_await std::move(writing);
    if (!std::holds_alternative<Handshake::Pending>(outcome)) co_return outcome;  // The refusal needn't arrive.
    if (!written) co_return written.error();
    auto frame = next_frame(*unread, kHandshakeFrameMax);
    while (frame && !*frame) {
      const std::span<char> room(buffer);
      const auto count = co_await transport->read_some(room);
      if (!count) co_return count.error();
      unread->append(buffer.data(), *count);
      frame = next_frame(*unread, kHandshakeFrameMax);
    }
    if (!frame) {
      outcome = handshake->fail(RefuseCode::Malformed, frame.error().message(), out);
      continue;
    }
    outcome = handshake->receive(**frame, wall_clock(), out);
    unread->erase(0, (*frame)->size);
  }
}

}  // namespace

/// The links' thread and everything that belongs to it, but for what says otherwise.
class PeerLinks::Thread {
 public:
  Thread(LocalNode self, PeerLinkOptions options, PeerLinkEvents& events)
      : self_(std::move(self)),
        options_(std::move(options)),
        events_(events),
        table_(options_, [this](NodeId id) { wake_later(id); }) {}

  // -- The owner's thread --
  Result<void> start();
  void stop();
  [[nodiscard]] std::uint16_t port() const { return port_; }

  // -- Any thread --
  void set_peers(std::map<NodeId, PeerAddress> peers) {
    asio::post(loop_, [this, peers = std::move(peers)] { know(peers); });
  }
  void drop(NodeId id, std::uint64_t connection, std::string why) {
    asio::post(loop_, [this, id, connection, why = std::move(why)]() mutable {
      const Peer* peer = table_.find(id);
      if (peer == nullptr || peer->connection == nullptr || peer->connection->number() != connection) return;
      peer->connection->close(std::move(why));
    });
  }
  void post(std::function<void()> task) { asio::post(loop_, std::move(task)); }
  const PeerTable& table() const { return table_; }

 private:
  void know(const std::map<NodeId, PeerAddress>& peers);
  void wake_later(NodeId id);

  asio::awaitable<void> accept();
  asio::awaitable<void> answer(std::unique_ptr<aio::Transport> transport);
  asio::awaitable<void> keep_dialed(Peer* peer);
  asio::awaitable<bool> dial(Peer* peer);
  /// The other side once it has proved itself; else what came in between has been said, counted and logged.
  asio::awaitable<std::optional<RemoteNode>> agree(aio::Transport* transport, Handshake* handshake, std::string out,
                                                   std::string* unread, Peer* dialed);
  asio::awaitable<void> run_link(RemoteNode remote, std::unique_ptr<aio::Transport> transport, std::string unread);
  asio::awaitable<void> shut_down();

  std::optional<HandshakeRefusal> admit(const RemoteNode& remote);
  void report(const HandshakeRefusal& refusal, const std::string& address, Peer* dialed);
  void check_clock(const RemoteNode& remote);

  const LocalNode self_;
  const PeerLinkOptions options_;
  PeerLinkEvents& events_;
  asio::io_context loop_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> busy_;
  PeerTable table_;
  aio::TaskGroup tasks_{loop_.get_executor()};
  aio::TaskGroup stopping_tasks_{loop_.get_executor()};  ///< The one that stops `tasks_`.
  aio::Event link_ended_{loop_.get_executor()};
  std::unique_ptr<aio::Listener> listener_;
  std::uint16_t port_ = 0;
  std::list<aio::Transport*> shaking_;  ///< Accepted, not yet proved; the oldest first.
  LineLimiter accept_lines_;
  std::uint64_t connections_ = 0;
  std::size_t links_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

Result<void> PeerLinks::Thread::start() {
  PARLEY_TRY(listener_, aio::listen_tcp(loop_.get_executor(), options_.listen_host, options_.listen_port, kTcpOptions));
  port_ = listener_->port();
  busy_.emplace(loop_.get_executor());
  tasks_.spawn(accept());
  thread_ = std::thread([this] { loop_.run(); });
  return {};
}

void PeerLinks::Thread::stop() {
  if (!thread_.joinable()) return;
  asio::post(loop_, [this] { stopping_tasks_.spawn(shut_down()); });
  thread_.join();
}

asio::awaitable<void> PeerLinks::Thread::shut_down() {
  stopping_ = true;
  listener_->close();
  for (const auto& [id, peer] : table_.all()) {
    if (peer->connection != nullptr) peer->connection->close("the node stops");
  }
  const Instant due = std::chrono::steady_clock::now() + kStopTimeout;
  while (links_ != 0 && std::chrono::steady_clock::now() < due) {
    auto waiting = link_ended_.wait();
    [[maybe_unused]] const auto ended = co_await aio::within(kStopTimeout, std::move(waiting));
  }
  tasks_.stop();
  for (aio::Transport* transport : shaking_) transport->close();
  co_await tasks_.join();
  busy_.reset();
}

void PeerLinks::Thread::wake_later(NodeId id) {
  asio::post(loop_, [this, id] {
    Peer* peer = table_.find(id);
    if (peer != nullptr && peer->connection != nullptr) peer->connection->wake();
  });
}

void PeerLinks::Thread::know(const std::map<NodeId, PeerAddress>& peers) {
  if (stopping_) return;
  for (const auto& [id, peer] : table_.all()) {
    if (!peer->address || peers.contains(id)) continue;
    peer->address.reset();
    peer->removed = true;
    if (peer->connection != nullptr) peer->connection->close("the node was removed from the cluster");
    peer->changed.notify();
  }
  for (const auto& [id, address] : peers) {
    Peer* peer = id == self_.id ? nullptr : table_.find_or_add(id, loop_.get_executor());
    if (peer == nullptr) continue;
    peer->address = address;
    peer->removed = false;
    peer->changed.notify();
    if (id < self_.id || std::exchange(peer->dialing, true)) continue;
    tasks_.spawn(keep_dialed(peer));
  }
}

asio::awaitable<void> PeerLinks::Thread::accept() {
  while (!stopping_) {
    auto transport = co_await listener_->accept();
    if (transport) {
      // Whoever only opens connections must not keep others from proving themselves.
      if (shaking_.size() >= options_.handshakes_max) shaking_.front()->close();
      shaking_.push_back(transport->get());
      tasks_.spawn(answer(*std::move(transport)));
      continue;
    }
    if (stopping_ || tasks_.stopping()) co_return;
    asio::steady_timer pause(loop_, kAcceptPause);
    [[maybe_unused]] const auto over = co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

asio::awaitable<void> PeerLinks::Thread::answer(std::unique_ptr<aio::Transport> transport) {
  auto handshake = Handshake::accept(self_, fresh_nonce(), [this](const RemoteNode& remote) { return admit(remote); });
  std::string unread;
  auto agreeing = agree(transport.get(), &handshake, {}, &unread, nullptr);
  auto remote = co_await std::move(agreeing);
  shaking_.remove(transport.get());
  if (!remote) {
    transport->close();
    co_return;
  }
  auto running = run_link(*std::move(remote), std::move(transport), std::move(unread));
  co_await std::move(running);
}

asio::awaitable<void> PeerLinks::Thread::keep_dialed(Peer* peer) {
  Backoff backoff(options_.backoff_min, options_.backoff_max);
  while (peer->address && !stopping_) {
    auto dialing = dial(peer);
    const bool was_up = co_await std::move(dialing);
    if (was_up) backoff.reset();
    if (tasks_.stopping()) break;
    auto changing = peer->changed.wait();
    [[maybe_unused]] const auto waited = co_await aio::within(backoff.next(random_number()), std::move(changing));
  }
  peer->dialing = false;
}

asio::awaitable<bool> PeerLinks::Thread::dial(Peer* peer) {
  auto connecting = aio::connect_tcp(peer->address->host, peer->address->port, kTcpOptions);
  auto connected = co_await aio::within(options_.handshake_timeout, std::move(connecting));
  if (!connected) {
    const std::string error = connected.error().message();
    const auto kept_back = peer->lines.admit(error, std::chrono::steady_clock::now());
    if (kept_back && peer->address) {
      log::warn(
          "a peer can't be reached, trying again",
          {{"host", peer->address->host}, {"port", peer->address->port}, {"error", error}, {"unlogged", *kept_back}});
    }
    co_return false;
  }
  auto transport = *std::move(connected);
  std::string hello;
  auto handshake = Handshake::dial(self_, peer->id, fresh_nonce(), wall_clock(), hello, options_.admission);
  std::string unread;
  auto agreeing = agree(transport.get(), &handshake, std::move(hello), &unread, peer);
  auto remote = co_await std::move(agreeing);
  if (!remote || !peer->address) {
    transport->close();
    co_return false;
  }
  auto running = run_link(*std::move(remote), std::move(transport), std::move(unread));
  co_await std::move(running);
  co_return true;
}

asio::awaitable<std::optional<RemoteNode>> PeerLinks::Thread::agree(aio::Transport* transport, Handshake* handshake,
                                                                    std::string out, std::string* unread,
                                                                    Peer* dialed) {
  auto shaking = shake_hands(transport, handshake, std::move(out), unread);
  auto shaken = co_await aio::within(options_.handshake_timeout, std::move(shaking));
  if (shaken) {
    if (auto* remote = std::get_if<RemoteNode>(&*shaken)) {
      check_clock(*remote);
      co_return std::move(*remote);
    }
    report(std::get<HandshakeRefusal>(*shaken), transport->address(), dialed);
    co_return std::nullopt;
  }
  if (stopping_) co_return std::nullopt;
  const bool late = shaken.error() == boost::system::errc::timed_out;
  std::string refusal;
  const std::string why = late ? "the handshake took too long" : "the handshake broke off: " + shaken.error().message();
  const auto outcome = handshake->fail(RefuseCode::Timeout, why, refusal);
  report(std::get<HandshakeRefusal>(outcome), transport->address(), dialed);
  if (late) {
    auto telling = write_all(transport, std::move(refusal));
    [[maybe_unused]] const auto told = co_await aio::within(kRefusalTimeout, std::move(telling));
  }
  co_return std::nullopt;
}

asio::awaitable<void> PeerLinks::Thread::run_link(RemoteNode remote, std::unique_ptr<aio::Transport> transport,
                                                  std::string unread) {
  Peer* peer = table_.find_or_add(remote.id, loop_.get_executor());
  while (peer->connection != nullptr) {
    peer->connection->close("a newer connection takes its place");
    const bool woken = co_await peer->changed.wait();
    if (!woken) co_return;
  }
  if (stopping_ || peer->removed) co_return;
  PeerPort& port = *peer->port;
  const NodeId id = remote.id;
  const LinkUp up{.peer = std::move(remote), .connection = ++connections_};
  const std::string address = transport->address();
  PeerConnection connection(loop_.get_executor(),
                            {.self = self_,
                             .options = options_,
                             .events = events_,
                             .outbox = port.outbox,
                             .statistics = port.statistics,
                             .wake = port.wake},
                            up, std::move(transport), std::move(unread));
  peer->connection = &connection;
  ++links_;
  port.statistics.connected = true;
  port.statistics.connects.fetch_add(1, std::memory_order_relaxed);
  port.outbox.open(up.peer.frame_max);
  log::info("peer is connected", {{"node", up.peer.name}, {"address", address}, {"protocol", up.peer.version}});
  events_.connected(up);

  auto running = connection.run();
  const std::string why = co_await std::move(running);

  port.outbox.close();
  port.statistics.connected = false;
  peer->connection = nullptr;
  --links_;
  log::info("peer is disconnected", {{"node", up.peer.name}, {"address", address}, {"why", why}});
  events_.disconnected(id, why);
  peer->changed.notify();
  link_ended_.notify();
}

std::optional<HandshakeRefusal> PeerLinks::Thread::admit(const RemoteNode& remote) {
  const std::string name = "'" + remote.name + "'";
  const Peer* peer = table_.find_or_add(remote.id, loop_.get_executor());
  if (peer == nullptr) {
    return HandshakeRefusal{.code = RefuseCode::Removed, .sentence = "node '" + self_.name + "' has too many peers"};
  }
  if (peer->removed) {
    return HandshakeRefusal{.code = RefuseCode::Removed, .sentence = "node " + name + " was removed from the cluster"};
  }
  const PeerConnection* open = peer->connection;
  if (open != nullptr && open->peer().incarnation != remote.incarnation &&
      open->heard_within(options_.heartbeat_timeout)) {
    return HandshakeRefusal{
        .code = RefuseCode::DuplicateNode,
        .sentence = "another process with the id of node " + name + " is connected to '" + self_.name + "' and alive"};
  }
  return options_.admission ? options_.admission(remote) : std::nullopt;
}

void PeerLinks::Thread::report(const HandshakeRefusal& refusal, const std::string& address, Peer* dialed) {
  if (dialed != nullptr) dialed->port->statistics.refusals.fetch_add(1, std::memory_order_relaxed);
  LineLimiter& lines = dialed != nullptr ? dialed->lines : accept_lines_;
  const auto kept_back = lines.admit(refusal.sentence, std::chrono::steady_clock::now());
  if (!kept_back) return;
  if (refusal.by_peer) {
    log::warn("a peer refuses this node", {{"address", address}, {"why", refusal.sentence}, {"unlogged", *kept_back}});
  } else {
    log::warn("refusing a peer", {{"address", address}, {"why", refusal.sentence}, {"unlogged", *kept_back}});
  }
}

void PeerLinks::Thread::check_clock(const RemoteNode& remote) {
  if (std::llabs(remote.clock_ahead_ms) <= kClockDifferenceMaxMs) return;
  log::warn("a peer's clock is far from this node's, times of messages will jump when leaders change",
            {{"node", remote.name}, {"ahead_ms", remote.clock_ahead_ms}});
}

PeerLinks::PeerLinks(LocalNode self, PeerLinkOptions options, PeerLinkEvents& events)
    : thread_(std::make_unique<Thread>(std::move(self), std::move(options), events)) {}
PeerLinks::~PeerLinks() { stop(); }

Result<void> PeerLinks::start() { return thread_->start(); }
void PeerLinks::stop() { thread_->stop(); }
std::uint16_t PeerLinks::port() const { return thread_->port(); }
void PeerLinks::set_peers(std::map<NodeId, PeerAddress> peers) { thread_->set_peers(std::move(peers)); }

void PeerLinks::drop(NodeId peer, std::uint64_t connection, std::string why) {
  thread_->drop(peer, connection, std::move(why));
}
void PeerLinks::post(std::function<void()> task) { thread_->post(std::move(task)); }

SendResult PeerLinks::send(NodeId peer, Channel channel, Payload payload) {
  const auto port = thread_->table().port(peer);
  return port ? port->outbox.put(channel, std::move(payload)) : SendResult::Disconnected;
}

SendResult PeerLinks::send(NodeId peer, Channel channel, std::string bytes) {
  return send(peer, channel, std::make_shared<const std::string>(std::move(bytes)));
}

std::map<NodeId, LinkCounters> PeerLinks::counters() const { return thread_->table().counters(); }

}  // namespace parley::cluster
