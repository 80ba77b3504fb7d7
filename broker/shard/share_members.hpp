#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/chat/topic.hpp"
#include "broker/session/session.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/share_command.hpp"

namespace parley::shard {

class Shard;
struct Client;
struct Feed;
struct Follower;

/// What a session calls a shared subscription on a conversation, however the client wrote it.
std::string share_filter(std::string_view group, std::string_view topic);

/// A client's place in a group of a shared subscription: what makes a Follower one that gets some entries only.
struct ShareSeat {
  using Known = std::function<void(chat::Refusal)>;

  std::string group;
  std::uint64_t token = 0;    ///< Which time of membership, as the home is told.
  bool joined = false;        ///< The home has answered.
  bool refused = false;       ///< … that it can't be now; it is asked again.
  bool replaced = false;      ///< … and before that answer came, that another one has taken its place.
  std::deque<Seq> granted{};  ///< Its own, not sent yet.
  std::vector<Seq> done{};    ///< Acknowledged, and the home isn't told yet.
  // Until it has answered the first time.
  chat::StartPosition start{};
  Epoch start_epoch{};
  Known known{};
};

/// The members of shared subscriptions on conversations among this shard's clients: their homes are told of them, and
/// what they are handed out goes to their feeds. Belongs to its shard's thread. The other side: ShareHomes.
///
/// A member's name is its client id behind `m` or `j`, for the form that it wants. It joins with each connection, and
/// again whenever the conversation is led anew; then it says what it has under way. That one has gone is told until it
/// is answered: a home that doesn't know would hand it entries which nobody does.
class ShareMembers {
 public:
  explicit ShareMembers(Shard& shard) : shard_(shard) {}

  struct Wish {
    std::string filter;  ///< `$share/{group}/{topic}`.
    mqtt::Qos qos = mqtt::Qos::AtLeastOnce;
    std::uint32_t subscription_id = 0;
    chat::StartPosition start{};
    std::optional<Epoch> start_epoch{};
  };
  /// The client may read, and isn't a member yet. `known` is called once the group's home has answered, perhaps at
  /// once; not if the client has gone. The follower is held.
  void join(Client& client, Feed& feed, const Wish& wish, ShareSeat::Known known);
  /// Those of a session that has a connection again.
  void resume(Client& client);
  /// The follower is about to go: with its connection, or (`ends`) for good.
  void left(Follower& follower, bool ends);
  /// The session has ended.
  void ended(const session::Session& session);

  /// The conversation is led anew: what was told may have been lost.
  void stand_anew(Feed& feed);
  void granted(const ShareGrantEvent& event);
  /// Of a proposal whose origin names kNoClient.
  void answered(std::uint64_t token, const Outcome& outcome);
  static constexpr std::uint32_t kNoClient = 0xFFFF'FFFE;

  /// The client has acknowledged something.
  void acknowledged(Client& client);
  /// The entry needs no acknowledgement.
  void passed(Follower& follower, Seq seq);
  /// Homes are told what is done. Once in a turn at least.
  void flush();
  [[nodiscard]] bool has_done() const { return !touched_.empty(); }

  void run_timer();

 private:
  struct Place {
    std::string group;
    std::string conversation;
    std::string member;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  /// A member that has gone, or its session ended.
  struct Leaving {
    std::string user;
    ShareCommand command;
    std::uint64_t answer = 0;  ///< What it is answered as.
  };
  using Leavings = std::map<Place, Leaving>;
  [[nodiscard]] std::optional<Place> place_of(const session::Session& session, std::string_view filter) const;
  void resume(Client& client, const session::Subscription& subscription, const std::string& conversation);
  void take_seat(Follower& follower);
  void tell(const std::string& conversation, const std::string& user, const ShareCommand& command,
            std::uint64_t answer_to);
  void tell_leaving(const Place& place, const std::string& user, ShareCommand command);
  void forget_leaving(Leavings::iterator one);
  [[nodiscard]] std::uint64_t new_token();
  void ask_again(std::uint64_t token);
  void touch(Follower& follower);
  void give_up(Follower& follower);

  Shard& shard_;
  std::unordered_map<std::uint64_t, Follower*> seats_;  ///< By token.
  std::vector<std::uint64_t> touched_;                  ///< Tokens of seats with something done.
  std::vector<std::uint64_t> refused_;                  ///< Of seats and leavings: what is to be asked again.
  Leavings leaving_;                                    ///< That the homes haven't answered.
  std::unordered_map<std::uint64_t, Leavings::iterator> leaving_answers_;
};

}  // namespace parley::shard
