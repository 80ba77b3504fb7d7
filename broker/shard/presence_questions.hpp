#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/shard/events.hpp"
#include "broker/shard/presence_timer.hpp"
#include "broker/shard/user_feeds.hpp"

namespace parley::shard {

class Shard;

/// What is asked about users where it is known: whether one may see another, since they share a conversation, and who
/// of some is online. Belongs to its shard's thread.
///
/// Groups are what their lists have both. Of their direct conversation, which either of them can begin alone, its home
/// is asked: the other has taken part once its read mark has moved, which what it sends moves, too.
///
/// Asks for this shard, and where nobody answers in time gives an answer itself. The first question it also answers,
/// for users whose slots are led here; the second is answered by PresenceHomes. Memory: the questions under way.
class PresenceQuestions final : private UserFeeds::Watcher {
 public:
  PresenceQuestions(Shard& shard, PresenceTimer& timer) : shard_(shard), timer_(timer) {}

  /// Whether the user may subscribe to `filter`; `known` is called once that is clear, perhaps at once.
  void may_see(const std::string& asker, std::string_view filter, std::function<void(chat::Refusal)> known);
  /// Calls `known` with those of `users` that are online, as far as their homes answer in time.
  void who_is_online(const std::vector<std::string>& users, std::function<void(const std::set<std::string>&)> known);

  void asked(PresenceAskEvent event);
  /// Whoever leads is asked what had to wait.
  void leader_known(Slot slot);
  void answered(const PresenceAnswerEvent& event);
  /// False when somebody else has asked.
  bool answered(const AccessedEvent& event);
  void answered(const OnlineAnswerEvent& event);

  /// Gives up what has waited too long. Returns when to come back.
  std::optional<Instant> run_timer();

 private:
  struct Question {
    std::function<void(chat::Refusal)> known;
    Instant due;
    std::string asker;
    std::string target;
  };
  struct OnlineQuestion {
    std::size_t open = 0;
    std::set<std::string> online;
    std::function<void(const std::set<std::string>&)> known;
    Instant due;
  };

  void user_known(const std::string& user) override;
  void user_unknown(const std::string& user, chat::Refusal why) override;
  void user_changed(const std::string& /*user*/, const UserConversation& /*change*/) override {}
  void answer(const PresenceAskEvent& event, chat::Refusal refusal);
  void answer(PresenceAskEvent event, const UserFeeds::List& list);
  void ask_direct(Question question);

  Shard& shard_;
  PresenceTimer& timer_;
  std::map<std::string, std::vector<PresenceAskEvent>> loading_;  ///< By the user whose conversations are being read.
  std::map<Slot, std::vector<PresenceAskEvent>> leaderless_;  ///< Of this node. Whoever asks waits so long as it does.
  std::size_t leaderless_weight_ = 0;
  std::map<std::uint64_t, Question> questions_;               ///< By token, and so in the order of `due`.
  std::map<std::uint64_t, OnlineQuestion> online_questions_;  ///< The same.
  std::uint64_t next_question_ = 1;
};

}  // namespace parley::shard
