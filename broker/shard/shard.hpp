#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/shard/amendments.hpp"
#include "broker/shard/appending.hpp"
#include "broker/shard/client_views.hpp"
#include "broker/shard/clients.hpp"
#include "broker/shard/committing.hpp"
#include "broker/shard/connecting.hpp"
#include "broker/shard/dismissal.hpp"
#include "broker/shard/erasures.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/feeds.hpp"
#include "broker/shard/groups.hpp"
#include "broker/shard/history_requests.hpp"
#include "broker/shard/hosting.hpp"
#include "broker/shard/inbox.hpp"
#include "broker/shard/inbox_listeners.hpp"
#include "broker/shard/limit_log.hpp"
#include "broker/shard/listeners.hpp"
#include "broker/shard/marks.hpp"
#include "broker/shard/node_links.hpp"
#include "broker/shard/node_topics.hpp"
#include "broker/shard/options.hpp"
#include "broker/shard/orphans.hpp"
#include "broker/shard/plain_journal.hpp"
#include "broker/shard/plain_topics.hpp"
#include "broker/shard/ports.hpp"
#include "broker/shard/post_rates.hpp"
#include "broker/shard/presence.hpp"
#include "broker/shard/proposing.hpp"
#include "broker/shard/publishing.hpp"
#include "broker/shard/reauthentication.hpp"
#include "broker/shard/receiving.hpp"
#include "broker/shard/remote_homes.hpp"
#include "broker/shard/replica_slots.hpp"
#include "broker/shard/retained_shows.hpp"
#include "broker/shard/retention.hpp"
#include "broker/shard/rosters.hpp"
#include "broker/shard/serving.hpp"
#include "broker/shard/session_claims.hpp"
#include "broker/shard/session_records.hpp"
#include "broker/shard/shows.hpp"
#include "broker/shard/strays.hpp"
#include "broker/shard/system_topics.hpp"
#include "broker/shard/throttling.hpp"
#include "broker/shard/timers.hpp"
#include "broker/shard/topic_access.hpp"
#include "broker/shard/typing.hpp"
#include "broker/shard/user_feeds.hpp"
#include "broker/shard/user_lists.hpp"
#include "broker/shard/wills.hpp"

namespace parley::shard {

/// One thread's world: the sessions, slots and timers that have their home there. It runs the pure rooms and speaks to
/// the world through ports only, so a simulation can run it whole.
///
/// Belongs to one thread. That thread calls begin_turn, hands in whatever has come (bytes, events, answers of the
/// store), and calls end_turn, which sends what the turn has brought about.
class Shard final : public LogStoreEvents, public PeerNodesEvents, private ReplicaEvents {
 public:
  Shard(ShardId id, const ShardOptions& options, LogStore& store, ClientLinks& links, PeerShards& peers,
        PeerNodes& nodes, Random& random, Authenticator& authenticator);
  ~Shard() override;

  // -- Before the first turn --
  void restore(const StoredSession& stored, Moment moment);
  /// Slots of other shards are passed over.
  void restore_slot(const StoredSlot& stored) { replicas_.restore(stored); }

  // After the sessions; see PlainRecovery.
  /// False when there is no such session.
  bool restore_queue(const std::string& client_id, const StoredQueue& queue);
  /// Waits for the client as it did; in order of numbers. `stored` is let go of when nobody needs it any more.
  void restore_message(const std::string& client_id, const mqtt::MessagePtr& message, const PlainTarget& target,
                       const session::StoredMessagePtr& stored);
  void restore_flows(const std::string& client_id, std::vector<session::Session::RestoredFlight> flights,
                     const std::vector<mqtt::PacketId>& inbound);

  // -- The turn --
  /// `packets_max`: of one connection in this turn; the others wait for the next one.
  void begin_turn(Instant now, Timestamp wall, std::size_t packets_max = std::numeric_limits<std::size_t>::max());
  /// From now on in this turn: whether a connection's first packet is handled also if it counts for more than
  /// `packets_max`. So a thread may look after those first who want little.
  void take_large_packets(bool take) { receiving_.take_large_packets(take); }
  void end_turn();
  /// When the shard wants a turn even if nothing comes.
  [[nodiscard]] std::optional<Instant> next_timer() const;

  // -- From the connections --
  /// `bytes` are all that has come and isn't consumed; returns how many are consumed now. After ClientLinks::close or
  /// hand_over the return value doesn't matter.
  std::size_t received(ConnectionId connection, std::string_view bytes) {
    return receiving_.received(connection, bytes);
  }
  /// The output is empty again after it could not be written at once.
  void drained(ConnectionId connection);
  /// The connection was lost.
  void lost(ConnectionId connection);
  /// The client has closed its side. True when the shard still has packets of it that wait for its session: it closes
  /// the connection when they are handled, and wants nothing more of it until then. Else the connection is lost.
  bool ended(ConnectionId connection);

  // -- From the Authenticator --
  /// The answer to what was asked about that connection, which may be gone by now.
  void authenticated(ConnectionId connection, LoginAnswer answer);

  // -- From the other shards --
  void peer_event(PeerEvent& event);

  // -- PeerNodesEvents --
  void node_reachable(NodeId node) override;
  void node_unreachable(NodeId node) override;
  void node_leads(NodeId node, Slot slot, std::optional<Term> term) override;
  void node_connected(NodeId node) override;
  void node_writable(NodeId node, NodeChannel channel) override;
  void node_message(NodeId from, NodeChannel channel, std::string_view message) override;

  // -- LogStoreEvents --
  void appended(std::uint64_t ticket, Result<Lsn> first) override;
  void conversation_loaded(const std::string& name, Result<LoadedConversation> loaded) override;
  void session_loaded(const std::string& client_id, Result<std::optional<StoredSession>> loaded) override;
  void sessions_listed(std::uint64_t token, Result<SessionList> listed) override;
  void entries_read(std::uint64_t token, Result<ReadPage> page) override;
  void log_read(std::uint64_t token, Result<LogPage> page) override;
  void snapshot_read(std::uint64_t token, Result<SnapshotPiece> piece) override;
  void snapshot_taken(std::uint64_t token, Result<std::string> known) override;
  void snapshot_finished(std::uint64_t token) override;
  void plain_written(std::uint64_t ticket, Result<void> outcome) override;
  void user_loaded(const std::string& user, Result<std::vector<UserConversation>> loaded) override;
  void erasure_found(std::uint64_t token, Result<ErasurePage> page) override { erasures_.found(token, page); }
  void sessions_found(std::uint64_t token, Result<ErasureSessions> sessions) override {
    erasures_.sessions_found(token, sessions);
  }
  void materialised(Lsn upto) override;

  /// Tells every client that the server goes away, publishes no will, and writes what sessions have to keep. The caller
  /// goes on with turns until `settled()`.
  void shut_down();
  /// Clients with a connection.
  [[nodiscard]] std::size_t connected() const { return connected_; }
  [[nodiscard]] bool settled() const { return replicas_.idle() && remote_homes_.empty() && journal_.empty(); }

  // -- For the parts of this room --
  [[nodiscard]] ShardId id() const { return id_; }
  [[nodiscard]] const ShardOptions& options() const { return options_; }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] Timestamp wall() const { return wall_; }
  [[nodiscard]] bool is_stopping() const { return stopping_; }
  /// This shard's. Only its thread counts.
  Counters& counters() { return counters_; }
  /// Counts that a limit was reached, and tells it in the log when that is due.
  void limit_reached(Metric limit, const Client& client);
  void limit_reached(Metric limit, ConnectionId connection, std::string_view client_id, std::string_view user);
  void limit_reached(Metric limit, std::string_view address);
  /// All shards' of the node.
  [[nodiscard]] Totals totals() const;
  LogStore& store() { return store_; }
  ClientLinks& links() { return links_; }
  Random& random() { return random_; }
  Authenticator& authenticator() { return authenticator_; }
  TopicAccess& access() { return access_; }
  Reauthentication& reauthentication() { return reauthentication_; }
  ReplicaSlots& replicas() { return replicas_; }
  RemoteHomes& remote_homes() { return remote_homes_; }
  Serving& serving() { return serving_; }
  NodeLinks& nodes() { return nodes_; }
  Appending& appending() { return appending_; }
  Clients& clients() { return clients_; }
  Feeds& feeds() { return feeds_; }
  Groups& groups() { return groups_; }
  Amendments& amendments() { return amendments_; }
  Erasures& erasures() { return erasures_; }
  Listeners& listeners() { return listeners_; }
  Marks& marks() { return marks_; }
  ShareHomes& share_homes() { return share_homes_; }
  ShareMembers& share_members() { return share_members_; }
  Typing& typing() { return typing_; }
  PostRates& post_rates() { return post_rates_; }
  Presence& presence() { return presence_; }
  HistoryRequests& history_requests() { return history_requests_; }
  Hosting& hosting() { return hosting_; }
  Proposing& proposing() { return proposing_; }
  Committing& committing() { return committing_; }
  Inboxes& inboxes() { return inboxes_; }
  InboxListeners& inbox_listeners() { return inbox_listeners_; }
  Rosters& rosters() { return rosters_; }
  Shows& shows() { return shows_; }
  RetainedShows& retained_shows() { return retained_shows_; }
  UserFeeds& user_feeds() { return user_feeds_; }
  UserLists& user_lists() { return user_lists_; }
  PlainTopics& plain_topics() { return plain_topics_; }
  NodeTopics& node_topics() { return node_topics_; }
  PlainJournal& journal() { return journal_; }
  SystemTopics& system_topics() { return system_topics_; }
  Publishing& publishing() { return publishing_; }
  SessionRecords& session_records() { return session_records_; }
  SessionClaims& session_claims() { return session_claims_; }
  Orphans& orphans() { return orphans_; }
  Strays& strays() { return strays_; }
  /// Asks the store for the sessions of nodes that aren't connected, nor in `without`. Sessions come to Orphans and to
  /// Strays, with the token that this returns.
  std::uint64_t list_sessions(std::vector<NodeId> without);
  Wills& wills() { return wills_; }
  Receiving& receiving() { return receiving_; }
  Throttling& throttling() { return throttling_; }
  Connecting& connecting() { return connecting_; }
  Dismissal& dismissal() { return dismissal_; }
  ClientViews& client_views() { return client_views_; }
  Timers& timers() { return timers_; }

  /// It means ordinary topics.
  [[nodiscard]] bool is_plain(std::string_view filter) const;
  /// To another shard, or to this one at once.
  void send(ShardId target, PeerEvent event);
  void send_outcome(const Origin& origin, Outcome outcome);
  /// This node leads the slot, and nothing that came earlier waits for that.
  [[nodiscard]] bool may_host(Slot slot) const;
  /// The client's output has grown: it is flushed with the turn, or now when there is much of it.
  void wrote(Client& client);
  /// Ends the connection with a DISCONNECT; the session goes on or ends as it should. `properties`: its, encoded.
  void close_client(Client& client, mqtt::ReasonCode reason, std::string_view properties = {});
  /// The same, to have it go to another node; publishes no will. `properties` of DISCONNECT, encoded.
  void dismiss(Client& client, std::string_view properties);
  /// The client's connection is gone: will, expiry, persistence. May end the session, and `client` with it.
  void detach(Client& client, bool publishes_will = true);
  /// The client's will, which is due. One that is recorded stays so until it is published.
  void publish_will(Client& client);
  /// Ends a session for good: subscriptions, record, place.
  void end_session(Client& client);
  /// The session isn't this node's any more, and has no connection here; its records stay.
  void forget_session(Client& client);
  /// A session that this node has just got.
  Client* adopt(const StoredSession& stored);
  /// Of a session restored at the start, once the slot's leader has said how it stands: this node's replica may have
  /// been behind. What waits on ordinary topics stays. False when it can't be read.
  bool refresh(Client& client, const StoredSession& stored);
  std::uint64_t new_identity() { return (static_cast<std::uint64_t>(id_) << 48) | next_identity_++; }
  void bind(ConnectionId connection, Client& client);
  void unbind(ConnectionId connection);
  /// Null when the connection has gone or has sent no CONNECT.
  Client* client_of(ConnectionId connection);
  /// The client has no connection: its session ends when its expiry interval has passed.
  void expire_later(Client& client);
  /// Sees to it that there is a timer for the next thing that is due for the client.
  void schedule(Client& client);

 private:
  /// Nothing of it is left here.
  void leave_session(Client& client);
  void take_will(Client& client, const StoredSession& stored, std::optional<session::WillPlan> will, Moment moment);
  bool take_up(Client& client, const session::Subscription& subscription, const StoredSession& stored);
  void run_timer(const Timers::Timer& timer);
  void flush_touched();
  void run_client_timer(Client& client);
  void run_restored_timer(Client& client);
  void start(Instant now);
  void committed(std::vector<WaitingRecord>& records) override;
  void refused(std::vector<WaitingRecord>& records, boost::system::error_code why) override;
  void leadership_changed(Slot slot, const Leadership& leadership) override;
  void complete(Slot slot) override;
  mqtt::PacketId first_packet_id();

  /// What the shard knows of a connection's place: which client it belongs to.
  struct Bound {
    std::uint32_t generation = 0;
    std::uint32_t client = 0;
    bool has_client = false;
  };

  const ShardId id_;
  const ShardOptions& options_;
  Counters own_counters_;  ///< Where the node has no Metrics.
  Counters& counters_;
  LimitLog limit_log_;
  LogStore& store_;
  ClientLinks& links_;
  PeerShards& peers_;
  Random& random_;
  Authenticator& authenticator_;
  Instant now_;
  Timestamp wall_;
  std::uint64_t next_identity_ = 1;
  bool stopping_ = false;
  std::size_t connected_ = 0;

  ReplicaSlots replicas_;
  NodeLinks nodes_;
  RemoteHomes remote_homes_;
  Serving serving_;
  Clients clients_;
  Appending appending_;
  Feeds feeds_;
  Groups groups_;
  Amendments amendments_;
  RetentionJob retention_;
  Erasures erasures_;
  Listeners listeners_;
  Marks marks_;
  ShareHomes share_homes_;
  ShareMembers share_members_;
  Typing typing_;
  PostRates post_rates_;
  Presence presence_;
  HistoryRequests history_requests_;
  Hosting hosting_;
  Proposing proposing_;
  Committing committing_;
  UserLists user_lists_;
  UserFeeds user_feeds_;
  Inboxes inboxes_;
  InboxListeners inbox_listeners_;
  Rosters rosters_;
  Shows shows_;
  RetainedShows retained_shows_;
  NodeTopics node_topics_;
  TopicAccess access_;
  PlainJournal journal_;
  PlainTopics plain_topics_;
  SystemTopics system_topics_;
  Publishing publishing_;
  SessionRecords session_records_;
  SessionClaims session_claims_;
  Orphans orphans_;
  Strays strays_;
  std::uint64_t last_listing_ = 0;  ///< Token.
  Wills wills_;
  Throttling throttling_;
  Receiving receiving_;
  Connecting connecting_;
  Dismissal dismissal_;
  ClientViews client_views_{*this};
  Reauthentication reauthentication_;
  Timers timers_;
  std::vector<Bound> bound_;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> touched_;  ///< Clients with output to flush.
};

}  // namespace parley::shard
