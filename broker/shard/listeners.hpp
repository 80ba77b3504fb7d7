#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/chat/topic.hpp"
#include "mqtt/message.hpp"

namespace parley::shard {

class Shard;
struct Client;
struct Feed;

/// What is heard of a conversation that isn't in its log.
enum class Hearing : std::uint8_t { Typing, Read, Presence };

/// Who wants to hear it: a subscription to {root}/{conversation}/typing or /read, or one of the inbox (see
/// InboxListeners), of a client that is connected. 88 bytes, if the names are short.
struct Listener {
  Client* client = nullptr;
  std::string filter;  ///< The subscription's.
  std::string name;    ///< The conversation as the user calls it: dm:{other}.
  Hearing hearing = Hearing::Typing;
};

/// The listeners of this shard's feeds. One costs no cursor and nothing of it is sent again. Belongs to its shard's
/// thread.
class Listeners {
 public:
  explicit Listeners(Shard& shard) : shard_(shard) {}

  static bool is_form(chat::Form form) { return form == chat::Form::Typing || form == chat::Form::Read; }
  static Hearing hearing_of(chat::Form form) { return form == chat::Form::Read ? Hearing::Read : Hearing::Typing; }

  /// Replaces what the client had by the same filter in this feed.
  void listen(Client& client, Feed& feed, std::string_view filter, std::string_view name, Hearing hearing);
  void stop(Client& client, std::string_view filter);
  /// In this feed only.
  void stop(Client& client, Feed& feed, std::string_view filter);
  /// Of all its filters, as when it disconnects.
  void stop_all(Client& client);
  /// The subscriptions of a client that has come back. Those that its user may not read any more end.
  void resume(Client& client);
  /// The client has been quiet: it gets everything that has a state as it is now.
  void show_all(Client& client);
  /// The user may not read the conversation any more, or (`inbox_only`) is no member any more, as entry `seq` says.
  void end_of(Feed& feed, std::string_view user, Seq seq, bool inbox_only);

  [[nodiscard]] static bool is_listening(const Client& client, const Feed& feed, std::string_view filter);
  [[nodiscard]] static bool any(const Feed& feed, Hearing hearing);
  /// Of the conversation here; the name is for {root}/{name}/…
  using Make = std::function<mqtt::MessagePtr(std::string_view name)>;
  /// Sends it at QoS 0 to every listener of that kind; `make` is called once for each name.
  void send(Feed& feed, Hearing hearing, const Make& make, bool retain = false);
  /// To one of them, or drops it where there is no room.
  void send(const Listener& listener, const mqtt::MessagePtr& message, bool retain);

 private:
  void resume(Client& client, const std::string& filter);
  void forget_if_none(Client& client, Feed& feed);
  void remove(Client& client, const std::function<bool(const Listener&)>& is_meant);

  Shard& shard_;
  std::unordered_map<Client*, std::vector<Feed*>> feeds_;  ///< Of each client those with a listener of its.
};

}  // namespace parley::shard
