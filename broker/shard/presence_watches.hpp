#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/map_sweep.hpp"
#include "broker/chat/presence.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/presence_questions.hpp"
#include "broker/shard/user_feeds.hpp"

namespace parley::shard {

class Shard;
struct Client;
struct Feed;
struct Listener;

/// Whom this shard's clients see: by subscriptions to presence/{user}, and by presence/+ all that are in the rosters of
/// the feeds they listen to. Belongs to its shard's thread.
///
/// A user that anybody here sees is followed at the user's home shard, once; what comes of it is sent on. Whether a
/// client may still see whom it watches is asked again as soon as one of the two has left a conversation, and every ten
/// minutes for what was lost on the way.
class PresenceWatches final : private UserFeeds::Watcher {
 public:
  PresenceWatches(Shard& shard, PresenceQuestions& questions) : shard_(shard), questions_(questions) {}

  /// The client may see the user. Nothing is sent before begin() or show(), since its SUBACK comes first.
  void watch(Client& client, std::string_view filter);
  void unwatch(Client& client, std::string_view filter);
  void unwatch_all(Client& client);
  /// The subscriptions of a client that has come back.
  void resume(Client& client);
  /// The SUBACK has left. `shows`: what is known comes now.
  void begin(Client& client, std::string_view filter, bool shows);
  /// Sends what is known, as retained; all of the client's with an empty filter.
  void show(Client& client, std::string_view filter);

  // -- What presence/+ sees; see Rosters --
  void enter_roster(const std::string& user, Feed& feed);
  void leave_roster(const std::string& user, const Feed& feed);
  /// The user isn't silent in this feed any more.
  void take_part(const std::string& user, Feed& feed);
  /// As soon as it is known how the user is.
  void show_later(Client& client, const std::string& user);
  /// Now, if the client still sees the user.
  void show_now(Client& client, const std::string& user);

  // -- From the users' home shards --
  void shown(const PresenceShownEvent& event);
  void recheck(const PresenceRecheckEvent& event);

  /// Asks again whether the client may still see whom it watches: those whose time has come, a few at a time.
  void run_timer(Client& client);
  /// Sees to it that those of the next `most` clients are asked whose time has come. True at the end of a round.
  bool sweep(std::size_t most);

 private:
  template <class T>
  using ByUser = std::unordered_map<std::string, T, routing::StringHash, std::equal_to<>>;

  /// A client's subscription.
  struct Watcher {
    Client* client = nullptr;
    std::string filter;
    Instant checked;             ///< 0: nothing may be sent yet.
    bool awaits_change = false;  ///< The first state that is heard isn't for it.
  };
  struct Watched {
    std::vector<Watcher> watchers;
    std::vector<const Feed*> rosters;  ///< Those that the user is in.
    std::optional<chat::Presence> last;

    [[nodiscard]] bool is_wanted() const { return !watchers.empty() || !rosters.empty(); }
  };

  void user_known(const std::string& /*user*/) override {}
  void user_unknown(const std::string& /*user*/, chat::Refusal /*why*/) override {}
  void user_changed(const std::string& user, const UserConversation& change) override;
  void recheck(Client& client, const std::string& user);
  void recheck_later(const Client& client, Instant due);
  void forget_asker(Client& client);
  void want(const std::string& user, bool wanted);
  [[nodiscard]] static bool sees(const Listener& listener, const Feed& feed, const std::string& user);
  [[nodiscard]] static bool is_contact(const Client& client, const std::string& user, const Watched& watched);
  [[nodiscard]] static std::vector<Client*> contacts(const std::string& user, const Watched& watched);
  void show_others(const Feed& feed, const std::string& user, const Watched& watched,
                   const std::vector<Client*>& contacts);
  void send_change(Client& client, std::string_view filter, const std::string& user, const chat::Presence& presence);
  void send(Client& client, std::string_view filter, const std::string& user, const chat::Presence& presence,
            bool retain);

  Shard& shard_;
  PresenceQuestions& questions_;
  ByUser<Watched> watched_;
  std::unordered_map<Client*, std::vector<std::string>> watches_;  ///< Of each client the users that it watches.
  MapSweep sweep_;                                                 ///< Through `watches_`.
  ByUser<std::vector<Client*>> askers_;                            ///< Of each user the clients that watch somebody.
};

}  // namespace parley::shard
