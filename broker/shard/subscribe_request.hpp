#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "broker/chat/refusal.hpp"
#include "broker/chat/topic.hpp"
#include "broker/session/session.hpp"
#include "broker/shard/listeners.hpp"
#include "broker/shard/ports.hpp"
#include "mqtt/packet.hpp"

/// A SUBSCRIBE on its way to its answer: what those who work at it know of each of its filters. A value of its shard's
/// thread, shared by whatever is waited for.
namespace parley::shard {

/// One filter of it.
struct SubscribeItem {
  std::string filter;  ///< Of a conversation: its topic.
  mqtt::SubscriptionOptions options;
  bool conversation = false;
  bool presence = false;
  std::optional<Hearing> listens;                 ///< Of an inbox without cursors; see InboxListeners.
  std::size_t conversations = 0;                  ///< The number of its.
  std::optional<session::Subscription> previous;  ///< The subscription as it was; none: it is new.
  Seq position;                                   ///< Where a cursor begins that is new or moves.
  bool replays = false;                           ///< It was asked for the past.
  bool resumed = false;                           ///< The cursor had been waiting for a first SUBSCRIBE.
  bool moves = false;                             ///< The cursor was there, and goes to `position` once that is stored.
  chat::Form form = chat::Form::Message;
  chat::StartPosition start;
  std::optional<Epoch> start_epoch;
  chat::Refusal refusal = chat::Refusal::None;
  Epoch epoch;
  Seq head;
  Seq oldest;
  bool shared = false;  ///< A shared subscription on a conversation; see ShareMembers.

  // -- Of an inbox, its conversations --
  bool inbox = false;
  bool begun = false;  ///< Inboxes::begin_subscribe was answered.
  std::vector<SubscribeItem> parts;
  std::size_t parts_open = 0;
  std::string refused_part;  ///< The conversation because of which it is refused.

  // -- Of one of these --
  bool part = false;
  ConversationNumber number;
  std::optional<std::uint16_t> epoch_check;  ///< Of a cursor's position.
  bool anew = false;                         ///< That position means nothing any more.
  std::optional<Timestamp> floor;            ///< Of the cursor that may have left it out.

  /// Whether what is there comes at once. MQTT 5 §3.8.3.1
  [[nodiscard]] bool shows_state() const {
    return options.retain_handling == 0 || (options.retain_handling == 1 && !previous);
  }
};

struct SubscribeRequest {
  ConnectionId connection;
  mqtt::PacketId packet_id = 0;
  std::uint32_t subscription_id = 0;
  std::size_t open = 1;  ///< What is waited for; one is the handling of the packet itself.
  std::size_t conversations_open = 0;
  std::vector<SubscribeItem> items;
  std::vector<mqtt::ReasonCode> reasons;  ///< One for each of the items.

  /// What the item is answered with; Refusal::None: its QoS.
  void decide(std::size_t index, chat::Refusal refusal);

  /// Of everything that has a cursor.
  template <class Visit>
  void for_each_cursor(Visit visit) {
    for (SubscribeItem& item : items) {
      if (item.conversation && !item.inbox) visit(item);
      for (SubscribeItem& part : item.parts) visit(part);
    }
  }
};

using SubscribeRequestPtr = std::shared_ptr<SubscribeRequest>;

}  // namespace parley::shard
