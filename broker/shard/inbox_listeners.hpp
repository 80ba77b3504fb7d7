#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/chat/refusal.hpp"
#include "broker/shard/listeners.hpp"
#include "broker/shard/ports.hpp"
#include "broker/shard/user_feeds.hpp"

namespace parley::session {
class Session;
}  // namespace parley::session

namespace parley::shard {

class Shard;

/// Subscriptions to {root}/+/typing, {root}/+/read and presence/+: a listener in each conversation of the client's
/// user, which comes and goes with the membership. Belongs to its shard's thread.
///
/// The session has the subscription and nothing else; what is known of conversations is there while the client is
/// connected. Who isn't costs nothing: when it comes back the user's list says what there is to listen to. Memory: a
/// Listener for each conversation and subscription, and what the shard needs of a conversation that any of its clients
/// follows.
class InboxListeners final : public UserFeeds::Watcher {
 public:
  explicit InboxListeners(Shard& shard);

  [[nodiscard]] const std::string& filter(Hearing hearing) const {
    return filters_.at(static_cast<std::size_t>(hearing));
  }
  [[nodiscard]] bool is_filter(std::string_view filter) const;

  /// Called with the number of the user's conversations once each is listened to that can be, or with why not.
  using Known = std::function<void(std::size_t conversations, chat::Refusal)>;
  /// The session has the subscription already. `shows`: marks come as they are now, too.
  void subscribe(Client& client, Hearing hearing, bool shows, Known known);
  /// The session doesn't have it any more.
  void unsubscribe(Client& client, Hearing hearing);
  /// A session came back.
  void resume(Client& client);
  /// The connection is gone, and its listeners with it.
  void detach(Client& client);

  /// Whether the client's user is a member anew, of later than entry `seq`.
  [[nodiscard]] bool has_come_back(const Client& client, const Feed& feed, Seq seq) const;

  void run_timer();

  // -- UserFeeds::Watcher --
  void user_known(const std::string& user) override;
  void user_unknown(const std::string& user, chat::Refusal why) override;
  void user_changed(const std::string& user, const UserConversation& change) override;

 private:
  static constexpr std::array kHearings{Hearing::Typing, Hearing::Read, Hearing::Presence};

  /// For the user's list.
  struct Waiting {
    ConnectionId connection;
    Hearing hearing{};
    bool shows = true;
    Known known;  ///< Null: of a session that came back.
  };
  struct User {
    std::vector<ConnectionId> clients;
    std::vector<Waiting> waiting;
  };
  /// A conversation that could not be had.
  struct Retry {
    ConnectionId connection;
    Hearing hearing{};
    bool shows = true;
    UserConversation conversation;
  };

  [[nodiscard]] bool wants(const Client& client, Hearing hearing) const;
  void open(Client& client);
  void enter_all(Client& client, Hearing hearing, bool shows, const UserFeeds::List& list, const Known& known);
  void enter(Client& client, Hearing hearing, bool shows, const UserConversation& conversation,
             std::function<void()> done);
  void listen(Client& client, Hearing hearing, bool shows, const UserConversation& conversation, Feed& feed);
  void try_again(const Client& client, Hearing hearing, bool shows, const UserConversation& conversation);

  Shard& shard_;
  std::array<std::string, kHearings.size()> filters_;
  std::unordered_map<std::string, User> users_;
  std::vector<Retry> retries_;
};

}  // namespace parley::shard
