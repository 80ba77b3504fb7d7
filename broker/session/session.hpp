#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/metrics.hpp"
#include "base/number.hpp"
#include "base/output.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/session/actions.hpp"
#include "broker/session/inbound_ids.hpp"
#include "broker/session/journal.hpp"
#include "broker/session/limits.hpp"
#include "mqtt/decode.hpp"
#include "mqtt/message.hpp"
#include "mqtt/packet.hpp"

namespace parley::mqtt {
struct Delivery;
}

/// One client's protocol state: QoS flows, packet ids, windows, aliases, subscriptions, will, and its cursors on
/// conversations. MQTT 5 §4.1. Pure: packets, messages and times come in; bytes go to the connection's Output,
/// decisions into Actions.
namespace parley::session {

class OutboundFlow;
struct InFlight;
struct Outgoing;

/// A shared subscription, `$share/{group}/{filter}`.
using Share = std::shared_ptr<const std::string>;

/// Index of a cursor within its session; reused after remove_cursor.
using CursorId = std::uint32_t;

/// By which of a cursor's subscriptions a message that its own client id has published is sent: No Local, MQTT 5
/// §3.8.3.1.
enum class OwnEntries : std::uint8_t {
  All,             ///< As any other message.
  BySubscription,  ///< By that to the conversation alone: the inbox has No Local.
  ByInbox,         ///< The other way round.
  None
};

/// What became of a message handed to deliver().
enum class Delivered : std::uint8_t {
  Sent,
  Queued,   ///< Waits for the window or for the client to come back.
  Dropped,  ///< QoS 0 while the output is full or nobody is connected, expired, or larger than the client takes.
  QueueFull,
};

/// A subscription as the session remembers it (and as it is persisted).
struct Subscription {
  std::string filter;  ///< As the client wrote it, `$share/…` included.
  mqtt::SubscriptionOptions options;
  std::uint32_t subscription_id = 0;  ///< 0: none.
};

/// A will that detach() hands over. MQTT 5 §3.1.2.5.
struct WillPlan {
  mqtt::MessagePtr message;  ///< Without publisher and expiry.
  Duration delay{};
  std::optional<std::uint32_t> expiry_interval;  ///< Message Expiry Interval in seconds, from its publication.
  std::uint64_t id = 0;                          ///< Of one that stands in the session's record; 0: it doesn't.
};

/// Belongs to one shard's thread. Memory: about 300 bytes without a connection, about 250 more with one; queue, ring
/// and aliases are allocated when first used and freed when empty. A client that acknowledges what it was not sent is
/// refused with ProtocolError; one that repeats an acknowledgement is not.
class Session {
 public:
  /// `counters` are its thread's and live longer; null: nobody counts.
  Session(std::string client_id, std::string user, std::uint64_t identity, const Limits& limits,
          Counters* counters = nullptr);
  ~Session();

  // -- Connection ----------------------------------------------------------------------------------------------------

  /// How many seconds the session of such a CONNECT outlives its connection. MQTT 5 §3.1.2.11.2.
  static std::uint32_t granted_expiry(const mqtt::Connect& connect, const Limits& limits);
  /// What attach() takes as will, of a session with that expiry interval; none.
  static std::optional<WillPlan> will_of(const mqtt::Connect& connect, std::uint32_t expiry);
  /// Before attach(), for a session that is to be stored first.
  void set_expiry_interval(std::uint32_t seconds) { expiry_interval_ = seconds; }

  /// Binds a connection whose CONNECT was accepted; `output` lives until detach(). Clean Start is the caller's matter:
  /// it makes a new Session then. Takes version, Receive Maximum, Maximum Packet Size, Topic Alias Maximum, Request
  /// Problem Information, keep alive, session expiry and will from `connect`. The will's property bytes are kept as
  /// mqtt::forwarded_properties.
  void attach(const mqtt::Connect& connect, Output& output, Instant now);
  /// Writes CONNACK with what MQTT 5 §3.2.2.3 wants said: Session Expiry (if changed), Receive Maximum, Maximum QoS,
  /// Retain Available, Maximum Packet Size, Assigned Client Identifier, Topic Alias Maximum, Server Keep Alive (if
  /// changed), availability flags; `extra` are further property bytes, left out where the client's Maximum Packet Size
  /// has no room for them. False, and nothing is written, where that has no room for the rest. [MQTT-3.1.2-24]
  [[nodiscard]] bool write_connack(bool session_present, bool assigned_client_id, std::string_view extra);
  /// After CONNACK: resends what was in flight, in its old order, with DUP and the old packet ids (MQTT 5 §4.4), then
  /// what is queued. Stops where an entry has to be fetched; see resend_wanted().
  void resume(Instant now);
  /// The connection is gone or is to be closed. Returns the will if it is to be published: not after DISCONNECT 0x00.
  /// Afterwards connected() is false; QoS flows stay.
  std::optional<WillPlan> detach(Instant now);
  [[nodiscard]] bool connected() const { return connection_ != nullptr; }
  /// Of the connection; null: there is none.
  [[nodiscard]] const WillPlan* will() const;
  void set_will_id(std::uint64_t id);
  /// Writes DISCONNECT (nothing in 3.x); the caller closes after the flush.
  void write_disconnect(mqtt::ReasonCode reason, std::string_view properties = {});

  /// Writes AUTH with CONNECT's Authentication Method: success, or (0x18) the client's turn. False when the client
  /// takes no packet as large; nothing is written then.
  bool write_auth(mqtt::ReasonCode reason, std::string_view data);

  /// One frame from the client, any packet but CONNECT. Answers that need nobody else are written at once; the rest
  /// goes into `actions`, whose views live as long as the frame's bytes. A violation becomes Actions::Close with its
  /// reason after DISCONNECT has been written.
  void receive(const mqtt::Frame& frame, Instant now, Actions& actions);

  /// The client could not be heard for a while: its keep alive counts from now.
  void heard(Instant now);

  /// When nothing has come for 1.5 times keep alive (MQTT 5 §3.1.2.10); nothing when it is 0.
  [[nodiscard]] std::optional<Instant> keep_alive_deadline() const;

  // -- Inbound
  // ---------------------------------------------------------------------------------------------------------

  /// The outcome of Actions::Publish: PUBACK or PUBREC leaves in the order of arrival (MQTT 5 §4.6) with `properties`
  /// (left out if the client forbids them or they don't fit its Maximum Packet Size), once those before it are done.
  /// Toward 3.x a failure is acknowledged like a success; a caller that wants to refuse without acknowledging closes.
  /// QoS 0 needs no call. A ticket of an earlier connection only settles the QoS 2 state.
  void complete_publish(PublishTicket ticket, mqtt::ReasonCode reason, std::string_view properties);

  void write_suback(mqtt::PacketId packet_id, const std::vector<mqtt::ReasonCode>& reasons,
                    std::string_view properties);
  void write_unsuback(mqtt::PacketId packet_id, const std::vector<mqtt::ReasonCode>& reasons);

  // -- Subscriptions
  // ---------------------------------------------------------------------------------------------------

  /// Remembers it; true when the filter is new. The caller keeps trees and cursors.
  bool add_subscription(Subscription subscription);
  bool remove_subscription(std::string_view filter);
  /// Null when there is none. O(1); the pointer is good until one is added or removed.
  [[nodiscard]] const Subscription* find_subscription(std::string_view filter) const;
  [[nodiscard]] const std::vector<Subscription>& subscriptions() const { return subscriptions_; }

  // -- Outbound, ordinary topics
  // -----------------------------------------------------------------------------------------

  /// Delivers at the lower of the message's QoS and `qos`. `retain` is the flag the receiver sees.
  /// `share`: the shared subscription it is for, as the client wrote it; null for another one. `stored`: null for what
  /// is kept in memory only; its numbers rise from call to call.
  Delivered deliver(const mqtt::MessagePtr& message, mqtt::Qos qos, bool retain,
                    std::span<const std::uint32_t> subscription_ids, Instant now, const Share& share = nullptr,
                    const StoredMessagePtr& stored = nullptr);

  /// Whether the client takes a packet as large as this message would be for a subscription, or at a cursor.
  [[nodiscard]] bool takes(const mqtt::Message& message, mqtt::Qos qos,
                           std::span<const std::uint32_t> subscription_ids) const;
  [[nodiscard]] bool takes(const mqtt::Message& message, CursorId cursor, bool own = false) const;

  struct SharedMessage {
    Share share;
    mqtt::MessagePtr message;
  };
  /// Takes out what waits for the client and belongs to a shared subscription. With an empty `subscription` the session
  /// is about to end: of every one, and QoS 1 messages under way as well. QoS 2 messages under way stay: nobody else
  /// may get them. MQTT 5 §4.8.2.
  std::vector<SharedMessage> take_shared(std::string_view subscription);

  // -- Outbound, conversations
  // ---------------------------------------------------------------------------------------------

  /// A cursor on `topic` (a conversation topic). Deliveries start behind `position`; everything up to `acknowledged`
  /// counts as acknowledged. Replaces an existing cursor of the same topic, whose entries in flight stay until acked.
  CursorId add_cursor(std::string topic, Epoch epoch, Seq position, mqtt::Qos qos, std::uint32_t subscription_id);
  void remove_cursor(CursorId cursor);
  struct CursorOptions {
    mqtt::Qos qos = mqtt::Qos::AtMostOnce;
    std::uint32_t subscription_id = 0;
    std::uint32_t inbox_id = 0;  ///< Of a second subscription that has the cursor, too.
    OwnEntries own = OwnEntries::All;
    mqtt::Qos own_qos = mqtt::Qos::AtMostOnce;  ///< Of the one that `own` names.
  };
  /// For what is sent from now on.
  void set_cursor_options(CursorId cursor, const CursorOptions& options);
  [[nodiscard]] std::optional<CursorId> find_cursor(std::string_view topic) const;

  struct CursorState : CursorOptions {
    std::string_view topic;
    Epoch epoch;
    Seq next;          ///< What send_entry expects now.
    Seq acknowledged;  ///< For persistence: all up to here need never be sent again.
  };
  [[nodiscard]] CursorState cursor(CursorId cursor) const;
  [[nodiscard]] std::vector<CursorId> cursors() const;

  /// True when an entry of that QoS can be sent now: connected, nothing left to resend, the output below its bound, and
  /// for QoS 1 and 2 a free place in the client's Receive Maximum (and in ours).
  [[nodiscard]] bool can_send(mqtt::Qos qos) const;
  /// While set, no new entry may be sent: first this one, by send_entry (or skip_entries when it is no more).
  struct Wanted {
    CursorId cursor = 0;
    Seq first;  ///< Of a batch; else `seq`.
    Seq seq;
  };
  [[nodiscard]] std::optional<Wanted> resend_wanted() const;
  /// Sends entry `seq` of the cursor, which is the one resend_wanted() or cursor().next names. An entry larger than the
  /// client's Maximum Packet Size is passed over (MQTT 5 §3.1.2.11.4) and counts as acknowledged; then it is false. See
  /// takes(). `own`: a message of this client id; see OwnEntries.
  bool send_entry(CursorId cursor, Seq seq, const mqtt::MessagePtr& message, bool replayed, Instant now,
                  bool own = false);
  /// The same for all entries from the one that is next (or wanted) up to `last` in one message, which is acknowledged
  /// as one. False, and nothing is passed over, when it is larger than the client takes.
  bool send_batch(CursorId cursor, Seq last, const mqtt::MessagePtr& message, bool replayed, Instant now);
  /// The entries from the next (or wanted) one up to `upto` are gone (retention, corrupt), or not for this client: as
  /// if acknowledged.
  void skip_entries(CursorId cursor, Seq upto, Instant now);

  /// A cursor of a shared subscription: which entries it gets, and in which order, somebody else says. It ends with the
  /// connection, and what is under way then isn't sent again: others get it.
  CursorId add_shared_cursor(std::string topic, Epoch epoch, mqtt::Qos qos, std::uint32_t subscription_id);
  /// Sends any entry. False, and it needs no acknowledgement, where it is sent at QoS 0 or not at all.
  bool send_shared(CursorId cursor, Seq seq, const mqtt::MessagePtr& message, Instant now);
  /// Entries that were acknowledged since the last call.
  [[nodiscard]] std::vector<Seq> take_shared_done(CursorId cursor);
  /// Entries under way, ascending.
  [[nodiscard]] std::vector<Seq> shared_under_way(CursorId cursor) const;

  /// To be called when the connection's output has drained below its bound: queued messages follow. Cursors are the
  /// caller's to pump.
  void drained(Instant now);

  // -- Stored messages and the journal -------------------------------------------------------------------------------

  /// From now on what concerns stored messages is told there; it lives longer.
  void set_journal(Journal* journal) { journal_ = journal; }
  void go_on_sending(mqtt::PacketId id, std::uint64_t number, Instant now);
  void go_on_releasing(mqtt::PacketId id, std::uint64_t number);
  /// `connection`: on which the PUBREL came, as Journal::released was told.
  void finish_release(mqtt::PacketId id, std::uint32_t connection);
  /// Packet ids of QoS 2 publishes that the client hasn't released.
  [[nodiscard]] std::span<const InboundIds::Item> inbound() const { return inbound_.items(); }

  /// A message that was under way. Its packet id is known at QoS 2 only (0: any will do).
  struct RestoredFlight {
    mqtt::PacketId id = 0;
    std::uint64_t number = 0;
    mqtt::MessagePtr message;  ///< Null: its PUBREC was there.
    mqtt::Qos qos = mqtt::Qos::ExactlyOnce;
    bool retain = false;
    std::vector<std::uint32_t> subscription_ids;
    Share share;
    StoredMessagePtr stored;
  };
  /// Before the first connection: what was under way, in the order it was sent, and which ids the client
  /// hasn't released. Where nothing was under way packet ids go on at `first_id`.
  void restore_flows(std::vector<RestoredFlight> flights, std::span<const mqtt::PacketId> inbound,
                     mqtt::PacketId first_id);
  /// What it owes its client of ordinary topics: what is under way, in the order it was sent, then (id 0) what waits.
  [[nodiscard]] std::vector<RestoredFlight> owed() const;

  // -- Persistence
  // -----------------------------------------------------------------------------------------------------

  /// Subscriptions and inbound QoS 2 packet ids as bytes for SessionRecord::state; format: docs/formats/session.md.
  [[nodiscard]] std::string encode_state() const;
  /// Fails with MalformedPacket when the bytes are no state of a version known here.
  static Result<std::unique_ptr<Session>> decode_state(std::string client_id, std::string user, std::uint64_t identity,
                                                       std::uint32_t expiry_interval, std::string_view state,
                                                       const Limits& limits, Counters* counters = nullptr);

  [[nodiscard]] const std::string& client_id() const { return client_id_; }
  [[nodiscard]] const std::string& user() const { return user_; }
  [[nodiscard]] std::uint64_t identity() const { return identity_; }  ///< Never reused.
  /// Of what its client publishes. O(size of the client id).
  [[nodiscard]] std::uint64_t publisher() const { return mqtt::publisher_of(client_id_); }
  [[nodiscard]] std::uint32_t expiry_interval() const {
    return expiry_interval_;
  }                                                     ///< Seconds; 0: ends with the connection.
  [[nodiscard]] mqtt::ProtocolVersion version() const;  ///< Of the current connection.
  [[nodiscard]] bool problem_information() const;       ///< Request Problem Information. MQTT 5 §3.1.2.11.7.
  [[nodiscard]] std::size_t queued() const;
  /// For a message that can wait elsewhere: half of the queue stays free for those that can't.
  [[nodiscard]] bool has_room_for(const mqtt::Message& message, mqtt::Qos qos) const;
  [[nodiscard]] std::size_t under_way() const;
  [[nodiscard]] bool settled() const;  ///< Nothing is under way to the client.
  /// Messages at QoS 1 and 2 that may be under way to the client at once; 0 without one.
  [[nodiscard]] std::size_t receive_max() const;
  /// The client's Maximum Packet Size.
  [[nodiscard]] std::uint32_t packet_size_max() const;

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  struct Connection;
  struct CursorSlot;

  void violation(mqtt::ReasonCode reason, Actions& actions);
  void receive_publish(const mqtt::Frame& frame, Actions& actions);
  void receive_ack(const mqtt::Frame& frame, Instant now, Actions& actions);
  void receive_pubrel(const mqtt::Ack& ack);
  void receive_pubrec(mqtt::PacketId id, InFlight* slot, Instant now, Actions& actions);
  void receive_auth(const mqtt::Auth& packet, Actions& actions);
  void receive_disconnect(const mqtt::Disconnect& packet, Actions& actions);
  [[nodiscard]] bool takes_answer(std::size_t reasons) const;
  mqtt::ReasonCode resolve_alias(mqtt::Publish& publish);
  void write(const mqtt::Packet& packet);
  void count_subscription(const Subscription& subscription, bool added);
  void keep_subscription(Subscription subscription);
  void write_ack(mqtt::PacketType type, mqtt::PacketId id, mqtt::ReasonCode reason, std::string_view properties);
  void flush_acks();
  /// False when the packet would be larger than the client takes, with a topic alias (which is set then) or without.
  bool fits(const mqtt::Message& message, mqtt::Delivery& delivery) const;
  /// False when the packet would be larger than the client takes; nothing is written then.
  bool write_delivery(const mqtt::Message& message, mqtt::Delivery& delivery, Instant now);
  void count_delivery(const mqtt::Message& message);
  bool send_entries(CursorId cursor, Seq first, Seq last, const mqtt::MessagePtr& message, bool replayed, Instant now,
                    bool own);
  bool resend_slot(Instant now);
  void continue_resend(Instant now);
  void send_queued(Instant now);
  void go_on(Instant now);
  void pass_over(CursorId cursor, Seq upto);
  CursorSlot* cursor_of(const InFlight& slot);
  /// Of the subscriptions that it has, or by which it gets what is its client's own.
  static mqtt::Qos qos_of(const CursorSlot& cursor, bool own);
  static std::span<const std::uint32_t> ids_of(const CursorSlot& cursor, bool own = false);
  void drop_shared();
  void settle_front();
  void let_go(InFlight& slot);
  void push_sent(Outgoing outgoing);
  [[nodiscard]] bool must_wait(mqtt::Qos qos) const;
  void hold(Outgoing outgoing);
  bool send_held(std::size_t position, Instant now);
  bool send_waiting(std::size_t from, Instant now);
  void note_passed(std::uint64_t number);
  OutboundFlow& outbound();

  std::string client_id_;
  std::string user_;
  std::uint64_t identity_;
  const Limits& limits_;
  Counters* counters_;
  std::uint32_t expiry_interval_ = 0;
  std::uint32_t connections_ = 0;
  std::uint32_t cursor_generation_ = 0;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<OutboundFlow> outbound_;
  InboundIds inbound_;
  std::vector<Subscription> subscriptions_;
  /// Places in it by filter, once there are many; else null.
  std::unique_ptr<std::unordered_map<std::string, std::size_t>> subscription_places_;
  std::vector<CursorSlot> cursors_;
  std::size_t cursors_free_ = 0;
  /// Places in it by topic, once there are many; else null.
  std::unique_ptr<std::unordered_map<std::string, CursorId>> cursor_places_;
  Journal* journal_ = nullptr;
};

}  // namespace parley::session
