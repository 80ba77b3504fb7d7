#include "broker/shard/rosters.hpp"

#include <algorithm>
#include <utility>

#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

constexpr Duration kTryAgain = std::chrono::seconds(1);

}  // namespace

void Rosters::listens(Client& client, Feed& feed) {
  if (feed.roster) return show(client, feed);
  feed.roster = std::make_unique<Roster>();
  ask(feed);
}

void Rosters::show(Client& client, const Feed& feed) {
  if (!feed.roster) return;
  for (const std::string& user : feed.roster->members) shard_.presence().watches().show_later(client, user);
}

void Rosters::end(Feed& feed) {
  if (!feed.roster) return;
  set(feed, {});
  feed.roster.reset();
  crowded_.erase(feed.name);
}

void Rosters::ask(Feed& feed) {
  const auto listener = std::ranges::find(feed.listeners, Hearing::Presence, &Listener::hearing);
  if (listener == feed.listeners.end()) return;
  feed.roster->shrunk = false;
  if (const auto users = format::direct_users(feed.name)) {
    if (feed.roster->members.empty()) {
      feed.roster->silent = {std::string(users->first), std::string(users->second)};
      set(feed, feed.roster->silent);
    }
    // Who has taken part goes on being seen.
    if (feed.roster->silent.empty()) return;
  }
  const std::uint64_t question = feed.roster->asked = next_question_++;
  shard_.feeds().with_marks(
      feed, listener->client->session->user(),
      [this, question](Feed& of, const Feeds::Access& access) { answered(of, question, access); });
}

void Rosters::answered(Feed& feed, std::uint64_t question, const Feeds::Access& access) {
  if (!feed.roster || feed.roster->asked != question) return;
  feed.roster->asked = 0;
  if (access.refusal != chat::Refusal::None) {
    // Nobody leads, or whom it was asked for has just left.
    if (unanswered_.empty()) shard_.timers().add({.due = shard_.now() + kTryAgain, .kind = TimerKind::Rosters});
    unanswered_.insert(feed.name);
    return;
  }
  if (format::direct_users(feed.name)) return marked(feed, access.marks);
  std::set<std::string, std::less<>> members;
  for (const chat::UserMarks& one : access.marks) members.insert(one.user);
  feed.roster->crowded = members.empty();
  if (members.empty()) {
    crowded_.insert(feed.name);
  } else {
    crowded_.erase(feed.name);
  }
  set(feed, std::move(members));
}

void Rosters::set(Feed& feed, std::set<std::string, std::less<>> members) {
  const auto before = std::exchange(feed.roster->members, std::move(members));
  for (const std::string& user : before) {
    if (!feed.roster->members.contains(user)) shard_.presence().watches().leave_roster(user, feed);
  }
  for (const std::string& user : feed.roster->members) {
    if (!before.contains(user)) shard_.presence().watches().enter_roster(user, feed);
  }
}

void Rosters::changed(Feed& feed, const std::string& user, bool present) {
  if (!feed.roster) return;
  Roster& roster = *feed.roster;
  // The answer may not know of it.
  if (roster.asked != 0) return ask(feed);
  if (roster.crowded) {
    roster.shrunk = roster.shrunk || !present;
    return;
  }
  if (!present) {
    if (roster.members.erase(user) != 0) shard_.presence().watches().leave_roster(user, feed);
  } else if (roster.members.insert(user).second) {
    shard_.presence().watches().enter_roster(user, feed);
    if (roster.members.size() <= shard_.options().marks_fanout) return;
    roster.crowded = true;
    crowded_.insert(feed.name);
    set(feed, {});
  }
}

void Rosters::marked(Feed& feed, const std::vector<chat::UserMarks>& marks) {
  if (!feed.roster || feed.roster->silent.empty()) return;
  for (const chat::UserMarks& one : marks) {
    if (chat::takes_part(one.mark) && feed.roster->silent.contains(one.user)) {
      shard_.presence().watches().take_part(one.user, feed);
    }
  }
}

void Rosters::stand_anew(Feed& feed) {
  if (feed.roster) ask(feed);
}

void Rosters::run_timer() {
  for (const std::string& name : std::exchange(unanswered_, {})) {
    Feed* feed = shard_.feeds().find(name);
    if (feed != nullptr && feed->roster && feed->roster->asked == 0) ask(*feed);
  }
}

void Rosters::sweep() {
  for (const std::string& name : std::set(crowded_)) {
    Feed* feed = shard_.feeds().find(name);
    if (feed != nullptr && feed->roster && feed->roster->shrunk) ask(*feed);
  }
}

}  // namespace parley::shard
