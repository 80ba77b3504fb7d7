#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "mqtt/message.hpp"
#include "mqtt/packet.hpp"

namespace parley::session {

class Session;

/// A message of an ordinary topic that is stored for sessions that outlive their connection. Each of them holds it as
/// long as it owes it to its client; with the last one it goes, and is noted as settled.
struct StoredMessage {
  /// Where the numbers of those go that nobody needs any more; null while they must stay.
  using Settled = std::shared_ptr<std::vector<std::uint64_t>>;

  StoredMessage(std::uint64_t with, Settled to) : number(with), settled(std::move(to)) {}
  ~StoredMessage() {
    if (settled) settled->push_back(number);
  }
  StoredMessage(const StoredMessage&) = delete;
  StoredMessage& operator=(const StoredMessage&) = delete;

  const std::uint64_t number;  ///< Rises from message to message.
  const Settled settled;
};
using StoredMessagePtr = std::shared_ptr<const StoredMessage>;

/// What a session wants kept of its flows so that QoS 2 is exactly once over a crash. Called in the middle of a
/// session's work: answers come later, by the functions that are named.
class Journal {
 public:
  virtual ~Journal() = default;
  /// A stored message is about to be sent at QoS 2; once that is durable: Session::go_on_sending.
  virtual void sending(Session& session, mqtt::PacketId id, std::uint64_t number) = 0;
  /// Its PUBREC is there; once that is durable: Session::go_on_releasing.
  virtual void received(Session& session, mqtt::PacketId id, std::uint64_t number) = 0;
  /// The client has released a QoS 2 PUBLISH of its own; once that is durable: Session::finish_release. Comes again for
  /// each PUBREL until then.
  virtual void released(Session& session, mqtt::PacketId id, std::uint32_t connection) = 0;
  /// Of stored messages nothing up to `number` is owed any more. May be written later: what is lost of it is sent again
  /// at QoS 1 and 2 under way, which the client sorts out by itself.
  virtual void settled(Session& session, std::uint64_t number) = 0;
  /// Whether a message that has waited may still be sent.
  [[nodiscard]] virtual bool may_send(const Session& session, const mqtt::Message& message) const = 0;
};

}  // namespace parley::session
