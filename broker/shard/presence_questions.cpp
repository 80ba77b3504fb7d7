#include "broker/shard/presence_questions.hpp"

#include <algorithm>
#include <utility>

#include "base/name.hpp"
#include "broker/chat/topic.hpp"
#include "broker/shard/presence_events.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;

constexpr Duration kAnswerWait = std::chrono::seconds(3);
constexpr Duration kOnlineWait = std::chrono::seconds(1);
constexpr std::size_t kConversationsMax = 100'000;
/// Questions that wait for a leader, and the conversations in them.
constexpr std::size_t kLeaderlessMax = 100'000;
/// In the token of a question to a conversation's home; those of Feeds never come as far.
constexpr std::uint64_t kOfDirect = std::uint64_t{1} << 63;

std::size_t weight_of(const PresenceAskEvent& event) { return 1 + event.conversations.size(); }

}  // namespace

// -- Who may see whom --

/// First the asker's home says in which groups it is, then the other one's whether that user is in one of them; at last
/// the home of their direct conversation whether the other takes part in it.
void PresenceQuestions::may_see(const std::string& asker, std::string_view filter, std::function<void(Refusal)> known) {
  if (!filter.starts_with(Presence::kPrefix)) return known(Refusal::InvalidTopic);
  const std::string target(Presence::user_of(filter));
  if (target == "+" || target == "#") return known(Refusal::Unsupported);
  if (!is_name(target)) return known(Refusal::InvalidTopic);
  if (target == asker) return known(Refusal::None);
  const std::uint64_t token = next_question_++;
  questions_[token] = {std::move(known), shard_.now() + kAnswerWait, asker, target};
  timer_.start(shard_.now() + kAnswerWait);
  shard_.send(home_of_name(asker, shard_.options()), PeerEvent{PresenceAskEvent{.asker = asker,
                                                                                .target = target,
                                                                                .conversations = {},
                                                                                .asks_target = false,
                                                                                .node = shard_.nodes().self(),
                                                                                .shard = shard_.id(),
                                                                                .token = token}});
}

void PresenceQuestions::asked(PresenceAskEvent event) {
  const std::string& user = event.asks_target ? event.target : event.asker;
  const Slot slot = slot_of_name(user, shard_.options());
  const auto leadership = shard_.replicas().leadership(slot);
  if (leadership.state == Leadership::State::Here) {
    if (const UserFeeds::List* list = shard_.user_feeds().find(user)) return answer(std::move(event), *list);
    const std::string name = user;
    auto& waiting = loading_[name];
    waiting.push_back(std::move(event));
    // Last, since it may be known at once.
    if (waiting.size() == 1) shard_.user_feeds().watch(name, *this);
  } else if (leadership.state == Leadership::State::Elsewhere && !event.is_forwarded) {
    shard_.nodes().send(leadership.node, NodeChannel::Sessions, remote::encode_for(slot, remote::ask_of(event)));
  } else if (leadership.state == Leadership::State::Nobody && !event.is_forwarded &&
             leaderless_weight_ + weight_of(event) <= kLeaderlessMax) {
    leaderless_weight_ += weight_of(event);
    leaderless_[slot].push_back(std::move(event));
  } else {
    answer(event, Refusal::NoMajority);
  }
}

void PresenceQuestions::leader_known(Slot slot) {
  auto waiting = leaderless_.extract(slot);
  if (waiting.empty()) return;
  for (PresenceAskEvent& event : waiting.mapped()) {
    leaderless_weight_ -= weight_of(event);
    asked(std::move(event));
  }
}

void PresenceQuestions::user_known(const std::string& user) {
  const auto found = loading_.find(user);
  if (found == loading_.end()) return;
  auto waiting = std::move(found->second);
  loading_.erase(found);
  const UserFeeds::List list = *shard_.user_feeds().find(user);
  shard_.user_feeds().unwatch(user, *this);
  for (PresenceAskEvent& event : waiting) answer(std::move(event), list);
}

void PresenceQuestions::user_unknown(const std::string& user, Refusal why) {
  const auto found = loading_.find(user);
  if (found == loading_.end()) return;
  auto waiting = std::move(found->second);
  loading_.erase(found);
  shard_.user_feeds().unwatch(user, *this);
  for (const PresenceAskEvent& event : waiting) answer(event, why);
}

/// `list`: of the asker, or in the second step of the target.
void PresenceQuestions::answer(PresenceAskEvent event, const UserFeeds::List& list) {
  if (event.asks_target) {
    const auto has = [&](ConversationNumber number) { return list.contains(number); };
    answer(event, std::ranges::any_of(event.conversations, has) ? Refusal::None : Refusal::NotAuthorized);
    return;
  }
  for (const auto& [number, conversation] : list) {
    if (format::direct_users(conversation.name)) continue;
    if (event.conversations.size() < kConversationsMax) event.conversations.push_back(number);
  }
  if (event.conversations.empty()) return answer(event, Refusal::NotAuthorized);
  event.asks_target = true;
  event.is_forwarded = false;
  const ShardId home = home_of_name(event.target, shard_.options());
  shard_.send(home, PeerEvent{std::move(event)});
}

void PresenceQuestions::answer(const PresenceAskEvent& event, Refusal refusal) {
  if (event.node == shard_.nodes().self()) {
    shard_.send(event.shard, PeerEvent{PresenceAnswerEvent{event.token, refusal}});
  } else {
    shard_.nodes().send(event.node, NodeChannel::Sessions,
                        remote::encode_for_shard(event.shard, remote::PresenceAnswer{event.token, refusal}));
  }
}

void PresenceQuestions::answered(const PresenceAnswerEvent& event) {
  const auto found = questions_.find(event.token);
  if (found == questions_.end()) return;
  Question question = std::move(found->second);
  questions_.erase(found);
  if (event.refusal == Refusal::NotAuthorized) return ask_direct(std::move(question));
  question.known(event.refusal);
}

void PresenceQuestions::ask_direct(Question question) {
  const auto direct = chat::conversation_meant("dm:" + question.target, question.asker);
  if (!direct || !format::direct_users(*direct)) return question.known(Refusal::NotAuthorized);
  const std::uint64_t token = next_question_++;
  question.due = shard_.now() + kAnswerWait;
  timer_.start(question.due);
  AccessEvent asked{.conversation = *direct,
                    .number = {},
                    .user = question.asker,
                    .shard = shard_.id(),
                    .token = token | kOfDirect,
                    .marks = true};
  questions_[token] = std::move(question);
  shard_.send(home_of_name(*direct, shard_.options()), PeerEvent{std::move(asked)});
}

bool PresenceQuestions::answered(const AccessedEvent& event) {
  if ((event.token & kOfDirect) == 0) return false;
  const auto found = questions_.find(event.token & ~kOfDirect);
  if (found == questions_.end()) return true;
  const Question question = std::move(found->second);
  questions_.erase(found);
  auto refusal = event.refusal;
  if (refusal == Refusal::None) {
    const auto takes_part = [&](const chat::UserMarks& one) {
      return one.user == question.target && chat::takes_part(one.mark);
    };
    if (std::ranges::none_of(event.marks, takes_part)) refusal = Refusal::NotAuthorized;
  }
  question.known(refusal);
  return true;
}

// -- Who of some users is online --

void PresenceQuestions::who_is_online(const std::vector<std::string>& users,
                                      std::function<void(const std::set<std::string>&)> known) {
  if (users.empty()) return known({});
  const std::uint64_t token = next_question_++;
  online_questions_[token] = {
      .open = users.size(), .online = {}, .known = std::move(known), .due = shard_.now() + kOnlineWait};
  timer_.start(shard_.now() + kOnlineWait);
  std::map<Slot, std::vector<std::string>> by_slot;
  for (const std::string& user : users) by_slot[slot_of_name(user, shard_.options())].push_back(user);
  for (auto& [slot, list] : by_slot) {
    shard_.send(home_of_slot(slot, shard_.options()), PeerEvent{OnlineAskEvent{.slot = slot,
                                                                               .users = std::move(list),
                                                                               .is_forwarded = false,
                                                                               .node = shard_.nodes().self(),
                                                                               .shard = shard_.id(),
                                                                               .token = token}});
  }
}

void PresenceQuestions::answered(const OnlineAnswerEvent& event) {
  const auto found = online_questions_.find(event.token);
  if (found == online_questions_.end()) return;
  OnlineQuestion& question = found->second;
  question.online.insert(event.online.begin(), event.online.end());
  question.open -= std::min<std::size_t>(question.open, event.asked);
  if (question.open != 0) return;
  const OnlineQuestion done = std::move(question);
  online_questions_.erase(found);
  done.known(done.online);
}

// -- Time --

std::optional<Instant> PresenceQuestions::run_timer() {
  while (!questions_.empty() && questions_.begin()->second.due <= shard_.now()) {
    const auto question = questions_.extract(questions_.begin());
    question.mapped().known(Refusal::NoMajority);
  }
  while (!online_questions_.empty() && online_questions_.begin()->second.due <= shard_.now()) {
    const auto question = online_questions_.extract(online_questions_.begin());
    question.mapped().known(question.mapped().online);
  }
  std::optional<Instant> next;
  if (!questions_.empty()) next = questions_.begin()->second.due;
  if (!online_questions_.empty()) next = std::min(next.value_or(Instant::max()), online_questions_.begin()->second.due);
  return next;
}

}  // namespace parley::shard
