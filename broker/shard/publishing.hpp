#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "broker/chat/topic.hpp"
#include "broker/session/actions.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/wills.hpp"
#include "mqtt/properties.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// What has become of a will so far.
struct WillOutcome {
  enum class State : std::uint8_t {
    Proposed,  ///< Wills::outcome is called, or was.
    Storing,   ///< Wills::stored is called with the publication.
    Stored,    ///< Or refused for good.
    Refused,   ///< For now.
  };
  State state = State::Stored;
  std::uint64_t publication = 0;
};

/// What a PUBLISH means: an ordinary message, an entry for a conversation, or nothing allowed. And its way back:
/// receipts and refusals. Belongs to its shard's thread.
class Publishing {
 public:
  explicit Publishing(Shard& shard) : shard_(shard) {}

  void publish(Client& client, session::PublishAction& action);
  /// What can be said against a client's will beforehand: as against a PUBLISH, as far as that doesn't depend on the
  /// conversation.
  chat::Refusal will_objection(const Wills::Author& author, const mqtt::Will& will) const;
  /// A will whose time has come, for Wills. One with an id is published once in a conversation, however often this is
  /// called.
  WillOutcome publish_will(const session::WillPlan& will, const Wills::Author& author, std::uint64_t token);
  void outcome(const Origin& origin, const Outcome& outcome);
  /// A publication of PlainTopics is stored where it must be, or can't be.
  void stored(std::uint64_t publication, bool stored);

  /// A message to the client's own reply topic. False: the client takes no packet as large.
  bool send_reply(Client& client, const mqtt::MessagePtr& message);
  /// It has subscribed to its reply topic.
  [[nodiscard]] static bool hears_replies(const Client& client);
  /// By which the client gets what is sent to a topic; null: it doesn't.
  [[nodiscard]] static const session::Subscription* subscription_to(const Client& client, std::string_view topic);
  /// To the client's Response Topic, where it may publish itself. False as above; then nobody gets it.
  bool send_to(Client& client, const ReceiptAddress& address, const mqtt::MessagePtr& message);

  /// 13 characters for 64 random bits: short enough to need no allocation.
  std::string make_id();

 private:
  struct Draft;
  chat::Refusal read_draft(const mqtt::Properties& properties, std::string_view payload, chat::Form form, Draft& draft);
  chat::Refusal read_command_id(std::string_view payload, Draft& draft) const;
  struct Publisher {
    const std::string& user;
    const std::string& client_id;
  };
  void propose(std::string_view topic, const mqtt::Properties& properties, std::string_view payload,
               const Publisher& publisher, Origin origin, std::string_view fallback_id = {});
  void propose_passing(const std::string& conversation, chat::Form form, const std::string& user,
                       std::string_view payload, Origin origin);
  void ask_for_history(const std::string& conversation, const std::string& user, std::string_view payload,
                       Origin origin);
  chat::Refusal plain_objection(Client& client, std::string_view topic);
  void plain(Client& client, session::PublishAction& action);
  void say_of_itself(Client& client, session::PublishAction& action, chat::Refusal refusal);
  chat::Refusal set_mode(Client& client, std::string_view payload);
  void refuse(Client& client, const Origin& origin, const Outcome& outcome);
  /// False: what was asked for is larger than the client takes, which it is told instead.
  bool send_receipt(Client& client, const ReceiptAddress& address, const Outcome& outcome);

  /// PUBACK, or PUBREC once a lasting session's packet id is stored.
  void acknowledge(Client& client, session::PublishTicket ticket, mqtt::ReasonCode reason, std::string_view properties);

  /// A publish that waits for PlainTopics.
  struct Waiting {
    std::uint32_t client = 0;
    std::uint64_t identity = 0;
    session::PublishTicket ticket;
    mqtt::ReasonCode reason{};
  };

  Shard& shard_;
  std::unordered_map<std::uint64_t, Waiting> waiting_;
  mqtt::PropertyWriter properties_;  ///< Reused for every publish.
  std::string forwarded_;
};

}  // namespace parley::shard
