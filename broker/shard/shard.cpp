#include "broker/shard/shard.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/log.hpp"

namespace parley::shard {
namespace {

constexpr Duration kHousekeeping = std::chrono::seconds(30);
/// What there may be a million of is looked through in pieces of so many …
constexpr std::size_t kSweepPiece = 500;
/// … with so long between them.
constexpr Duration kSweepPause = std::chrono::milliseconds(5);
constexpr Duration kRetention = std::chrono::seconds(1);
/// From the start: until then all threads know what the others' sessions want.
constexpr Duration kWillsWait = std::chrono::seconds(1);
constexpr Duration kTellAgain = std::chrono::seconds(1);
constexpr Duration kTellAgainMax = std::chrono::seconds(60);

}  // namespace

Shard::Shard(ShardId id, const ShardOptions& options, LogStore& store, ClientLinks& links, PeerShards& peers,
             PeerNodes& nodes, Random& random, Authenticator& authenticator)
    : id_(id),
      options_(options),
      counters_(options.metrics != nullptr ? options.metrics->of(id) : own_counters_),
      limit_log_(counters_),
      store_(store),
      links_(links),
      peers_(peers),
      random_(random),
      authenticator_(authenticator),
      replicas_({.shard = id, .options = options, .store = store, .nodes = nodes, .random = random}, *this),
      nodes_(nodes),
      remote_homes_(*this),
      serving_(*this),
      appending_(*this),
      feeds_(*this),
      groups_(*this),
      amendments_(*this),
      retention_(*this),
      erasures_(*this),
      listeners_(*this),
      marks_(*this),
      share_homes_(*this),
      share_members_(*this),
      typing_(*this),
      post_rates_(*this),
      presence_(*this),
      history_requests_(*this),
      hosting_(*this),
      proposing_(*this),
      committing_(*this),
      user_lists_(*this),
      user_feeds_(*this),
      inboxes_(*this),
      inbox_listeners_(*this),
      rosters_(*this),
      shows_(*this),
      retained_shows_(*this),
      node_topics_(*this),
      access_(*this),
      journal_(*this),
      plain_topics_(*this),
      system_topics_(*this),
      publishing_(*this),
      session_records_(*this),
      session_claims_(*this),
      orphans_(*this),
      strays_(*this),
      wills_(*this),
      throttling_(*this),
      receiving_(*this),
      connecting_(*this),
      dismissal_(*this),
      reauthentication_(*this) {}

Shard::~Shard() = default;

Totals Shard::totals() const {
  if (options_.metrics != nullptr) return options_.metrics->sum();
  Totals totals;
  totals += counters_;
  return totals;
}

// -- The turn --

void Shard::begin_turn(Instant now, Timestamp wall, std::size_t packets_max) {
  receiving_.begin_turn(packets_max);
  const bool first = now_ == Instant{};
  now_ = now;
  wall_ = wall;
  if (first) start(now);
  replicas_.begin_turn(now);
  while (const auto timer = timers_.take_due(now)) run_timer(*timer);
}

void Shard::start(Instant now) {
  timers_.add({.due = now + options_.cursor_flush, .kind = TimerKind::CursorFlush});
  timers_.add({.due = now + kHousekeeping, .kind = TimerKind::Housekeeping});
  timers_.add({.due = now + kHousekeeping, .kind = TimerKind::Sweep});
  timers_.add({.due = now + kRetention, .kind = TimerKind::Retention});
  erasures_.start();
  system_topics_.start();
  // Sessions were restored before there was a time: they count from zero.
  clients_.for_each([&](Client& client) {
    if (client.will) client.will->due = now + std::max(client.will->due.time_since_epoch(), kWillsWait);
    if (client.expires_at != Instant::max()) client.expires_at = now + client.expires_at.time_since_epoch();
    if (client.will && !client.is_lasting()) client.expires_at = client.will->due;
    schedule(client);
  });
}

std::optional<Instant> Shard::next_timer() const {
  const auto timer = timers_.next();
  const auto replica = replicas_.next_due();
  return timer && replica ? std::min(timer, replica) : std::max(timer, replica);
}

void Shard::end_turn() {
  replicas_.flush();
  journal_.flush();
  // Who has acknowledged something may get more, and at QoS 0 that counts as acknowledged at once.
  do {
    share_members_.flush();
    flush_touched();
  } while (share_members_.has_done());
  replicas_.flush();
  journal_.flush();
}

void Shard::flush_touched() {
  // What follows may touch clients again: they are added at the end.
  for (std::size_t i = 0; i < touched_.size(); ++i) {
    Client* client = clients_.find(touched_[i].first, touched_[i].second);
    if (client == nullptr) continue;
    client->output_touched = false;
    if (client->output == nullptr) continue;
    links_.flush(client->connection);
    // A cursor that stopped for want of room goes on at once when the socket has taken everything.
    if (!client->behind.empty() && client->output->empty()) feeds_.pump(*client);
    if (client->output->empty()) history_requests_.go_on(*client);
  }
  touched_.clear();
}

void Shard::run_timer(const Timers::Timer& timer) {
  switch (timer.kind) {
    case TimerKind::Client: {
      Client* client = clients_.find(timer.client, timer.identity);
      if (client == nullptr || client->timer_due != timer.due) return;
      client->timer_due = Instant::max();
      run_client_timer(*client);
      return;
    }
    case TimerKind::Login: connecting_.expire({timer.client, static_cast<std::uint32_t>(timer.identity)}); return;
    case TimerKind::CursorFlush:
      session_records_.flush();
      session_claims_.flush();
      journal_.flush_cursors();
      timers_.add({.due = now_ + options_.cursor_flush, .kind = TimerKind::CursorFlush});
      return;
    case TimerKind::SessionClaims: session_claims_.run_timer(); return;
    case TimerKind::SystemTopics: system_topics_.run_timer(); return;
    case TimerKind::Dismissal: dismissal_.run_timer(); return;
    case TimerKind::Retention:
      retention_.run();
      timers_.add({.due = now_ + kRetention, .kind = TimerKind::Retention});
      return;
    case TimerKind::Erasures: erasures_.run_timer(); return;
    case TimerKind::NodeTopics: node_topics_.run_timer(); return;
    case TimerKind::UserLists: user_lists_.run_timer(); return;
    case TimerKind::Inbox: {
      Client* client = timer.identity != 0 ? clients_.find(timer.client, timer.identity) : nullptr;
      if (client != nullptr || timer.identity == 0) inboxes_.run_timer(client);
      return;
    }
    case TimerKind::InboxListeners: inbox_listeners_.run_timer(); return;
    case TimerKind::Rosters: rosters_.run_timer(); return;
    case TimerKind::Shows: shows_.run_timer(); return;
    case TimerKind::RetainedShows: retained_shows_.run_timer(); return;
    case TimerKind::Marks: marks_.run_timer(); return;
    case TimerKind::Shares: share_homes_.run_timer(); return;
    case TimerKind::ShareMembers: share_members_.run_timer(); return;
    case TimerKind::Presence: presence_.run_timer(); return;
    case TimerKind::Wills: wills_.run_timer(); return;
    case TimerKind::Orphans: orphans_.run_timer(); return;
    case TimerKind::Strays: strays_.run_timer(); return;
    case TimerKind::PresenceCheck:
      if (Client* client = clients_.find(timer.client, timer.identity)) presence_.watches().run_timer(*client);
      return;
    case TimerKind::LeaderWait: remote_homes_.run_timer({timer.client}); return;
    case TimerKind::Housekeeping:
      groups_.sweep();
      inboxes_.sweep();
      rosters_.sweep();
      typing_.sweep();
      post_rates_.sweep();
      node_topics_.sweep();
      timers_.add({.due = now_ + kHousekeeping, .kind = TimerKind::Housekeeping});
      return;
    case TimerKind::Sweep:
      timers_.add({.due = now_ + (sweep_on() ? kHousekeeping : kSweepPause), .kind = TimerKind::Sweep});
      return;
  }
}

/// As far as one piece goes; true when everything has been looked through.
bool Shard::sweep_on() {
  using Sweep = bool (*)(Shard&);
  static constexpr std::array<Sweep, 4> kSweeps{
      [](Shard& shard) { return shard.hosting_.sweep(kSweepPiece); },
      [](Shard& shard) { return shard.presence_.homes().sweep(kSweepPiece); },
      [](Shard& shard) { return shard.presence_.watches().sweep(kSweepPiece); },
      [](Shard& shard) { return shard.plain_topics_.sweep(kSweepPiece); }};
  for (; sweep_ < std::ssize(kSweeps); ++sweep_) {
    if (!kSweeps[static_cast<std::size_t>(sweep_)](*this)) return false;
  }
  sweep_ = 0;
  return true;
}

void Shard::run_client_timer(Client& client) {
  if (client.restored) return run_restored_timer(client);
  const bool will_due =
      client.will && !client.will->publishing && std::min(client.will->due, client.expires_at) <= now_;
  // What doesn't last has its will published with its end.
  if (will_due && client.is_lasting()) publish_will(client);
  if (client.session->connected() && !reauthentication_.look(client)) return;
  throttling_.look(client);
  const auto deadline = client.session->keep_alive_deadline();
  if (deadline && *deadline <= now_ && !client.is_paused()) {
    log::debug("client is silent, closing its connection",
               {{"client_id", client.session->client_id()}, {"address", links_.address(client.connection)}});
    close_client(client, mqtt::ReasonCode::KeepAliveTimeout);
    return;
  }
  const bool absent = !client.session->connected() && client.opening.generation == 0;
  const bool publishing = client.will && client.will->publishing && client.is_lasting();
  if (absent && client.expires_at <= now_ && !publishing) {
    counters_.add(Metric::SessionsExpired);
    end_session(client);
    return;
  }
  schedule(client);
}

/// Of one that was only restored the latest isn't known: the leader of its slot looks after it, and says when that is
/// done. See Orphans.
void Shard::run_restored_timer(Client& client) {
  const Instant due = client.will ? std::min(client.will->due, client.expires_at) : client.expires_at;
  if (due > now_ || client.tell_at > now_) return schedule(client);
  if (session_claims_.tell_left(client.session->client_id(), client.generation, client.left)) {
    client.tell_again = std::clamp(2 * client.tell_again, kTellAgain, kTellAgainMax);
    client.tell_at = now_ + client.tell_again;
    return schedule(client);
  }
  // That one knows nothing of it: whoever is asked for the session next finds that it is over.
  client.will.reset();
  if (client.expires_at > now_) return schedule(client);
  counters_.add(Metric::SessionsExpired);
  forget_session(client);
}

void Shard::schedule(Client& client) {
  Instant due = client.expires_at;
  if (client.session->connected()) {
    due = std::min({client.login_ends, client.login_notice, client.throttle.resume_at});
    if (!client.is_paused()) due = std::min(due, client.session->keep_alive_deadline().value_or(Instant::max()));
  }
  if (client.will && client.will->publishing) {
    if (!client.session->connected()) due = Instant::max();  // Looked at when that is done.
  } else if (client.will) {
    due = std::min(due, client.will->due);
  }
  if (client.restored) due = std::max(due, client.tell_at);
  // An earlier timer asks again when it comes.
  if (due >= client.timer_due) return;
  client.timer_due = due;
  timers_.add({due, TimerKind::Client, client.place, client.session->identity()});
}

// -- Connections --

void Shard::bind(ConnectionId connection, Client& client) {
  if (connection.place >= bound_.size()) bound_.resize(connection.place + 1);
  if (!std::exchange(bound_[connection.place], {connection.generation, client.place, true}).has_client) ++connected_;
  client.connection = connection;
  client.output = &links_.output(connection);
  counters_.add(Metric::ClientsConnected);
  counters_.add(Metric::ConnectionsOpened);
}

void Shard::unbind(ConnectionId connection) {
  if (connection.place >= bound_.size()) return;
  if (std::exchange(bound_[connection.place], {}).has_client) --connected_;
}

Client* Shard::client_of(ConnectionId connection) {
  if (connection.place >= bound_.size()) return nullptr;
  const Bound& bound = bound_[connection.place];
  if (!bound.has_client || bound.generation != connection.generation) return nullptr;
  return &clients_.at(bound.client);
}

void Shard::limit_reached(Metric limit, const Client& client) {
  limit_reached(limit, client.connection, client.session->client_id(), client.session->user());
}

void Shard::limit_reached(Metric limit, ConnectionId connection, std::string_view client_id, std::string_view user) {
  if (const auto times = limit_log_.count(limit, now_)) {
    LimitLog::tell(limit, times, client_id, user, links_.address(connection));
  }
}

void Shard::limit_reached(Metric limit, std::string_view address) {
  if (const auto times = limit_log_.count(limit, now_)) LimitLog::tell(limit, times, {}, {}, address);
}

void Shard::drained(ConnectionId connection) {
  if (Client* client = client_of(connection)) receiving_.drained(*client);
}

void Shard::lost(ConnectionId connection) {
  Client* client = client_of(connection);
  if (client != nullptr) {
    detach(*client);
  } else {
    connecting_.lost(connection);
  }
}

bool Shard::ended(ConnectionId connection) {
  if (connecting_.ended(connection)) return true;
  lost(connection);
  return false;
}

void Shard::authenticated(ConnectionId connection, LoginAnswer answer) {
  if (Client* client = client_of(connection)) {
    reauthentication_.answered(*client, std::move(answer));
  } else {
    connecting_.authenticated(connection, std::move(answer));
  }
}

void Shard::wrote(Client& client) {
  if (client.output == nullptr || client.output->empty()) return;
  if (client.output->size() >= options_.output_flush) {
    links_.flush(client.connection);
    return;
  }
  if (client.output_touched) return;
  client.output_touched = true;
  touched_.emplace_back(client.place, client.session->identity());
}

void Shard::shut_down() {
  stopping_ = true;
  connecting_.shut_down();
  clients_.for_each([&](Client& client) { close_client(client, mqtt::ReasonCode::ServerShuttingDown); });
}

bool Shard::may_host(Slot slot) const {
  return replicas_.leadership(slot).state == Leadership::State::Here && !remote_homes_.holds(slot);
}

}  // namespace parley::shard
