#include "broker/shard/wills.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {

bool Wills::recorded() const { return shard_.nodes().all_speak(kWillsVersion); }

std::uint64_t Wills::make_id(const session::WillPlan& will) {
  // A parting status counts with the connections of its user; see Presence.
  if (Presence::is_topic(will.message->topic()) || !recorded()) return 0;
  return std::max<std::uint64_t>(shard_.random().next(), 1);
}

void Wills::publish(const session::WillPlan& will, Author author, Done done, unsigned tries) {
  const std::uint64_t token = next_token_++;
  publications_[token] = {.will = will, .author = std::move(author), .done = std::move(done), .tries = tries};
  start(token);
}

void Wills::start(std::uint64_t token) {
  Publication& one = publications_.at(token);
  --one.tries;
  const session::WillPlan will = one.will;
  const Author author = one.author;
  const auto outcome = shard_.publishing().publish_will(will, author, token);
  switch (outcome.state) {
    case WillOutcome::State::Proposed: return;  // Its outcome may have come by now.
    case WillOutcome::State::Stored: return ended(token, false);
    case WillOutcome::State::Refused: return ended(token, true);
    case WillOutcome::State::Storing: plain_[outcome.publication] = token; return;
  }
}

void Wills::outcome(std::uint64_t token, const Outcome& outcome) {
  if (!publications_.contains(token)) return;
  const auto& rule = chat::rule_of(outcome.refusal);
  if (outcome.refusal != chat::Refusal::None && rule.retry_after == 0) {
    log::info("a will is refused", {{"client_id", publications_.at(token).author.client_id}, {"error", rule.word}});
  }
  ended(token, outcome.refusal != chat::Refusal::None && rule.retry_after != 0);
}

bool Wills::stored(std::uint64_t publication, bool stored) {
  const auto found = plain_.find(publication);
  if (found == plain_.end()) return false;
  const std::uint64_t token = found->second;
  plain_.erase(found);
  ended(token, !stored);
  return true;
}

/// `for_now`: it was refused, and may be taken later.
void Wills::ended(std::uint64_t token, bool for_now) {
  const auto found = publications_.find(token);
  if (found == publications_.end()) return;
  if (for_now && found->second.tries > 0) {
    again_[token] = shard_.now() + kAgain;
    shard_.timers().add({.due = shard_.now() + kAgain, .kind = TimerKind::Wills});
    return;
  }
  const Publication one = std::move(found->second);
  publications_.erase(found);
  if (one.done) one.done(!for_now);
}

void Wills::run_timer() {
  std::vector<std::uint64_t> due;
  std::erase_if(again_, [&](const auto& one) {
    if (one.second > shard_.now()) return false;
    due.push_back(one.first);
    return true;
  });
  for (const std::uint64_t token : due) {
    if (publications_.contains(token)) start(token);
  }
}

void Wills::nodes_changed() {
  const bool now = recorded();
  if (now == std::exchange(was_recorded_, now)) return;
  shard_.clients().for_each([&](Client& client) {
    const session::WillPlan* will = client.session->will();
    if (will == nullptr || (will->id != 0) == now) return;
    client.session->set_will_id(now ? make_id(*will) : 0);
    if (client.session->will()->id != 0 || client.is_lasting()) {
      shard_.session_records().write_opening(client, *client.session->will(), nullptr);
    } else if (std::exchange(client.persisted, false)) {
      shard_.session_records().write_end(client.session->client_id(), client.generation);
    }
  });
}

}  // namespace parley::shard
