#include "broker/shard/erasures.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/varint.hpp"
#include "broker/shard/hosting.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

using State = format::ErasureState;

constexpr Duration kLookEvery = std::chrono::seconds(1);
/// Between two steps: what is read in one costs a reading thread about a millisecond.
constexpr Duration kPause = std::chrono::milliseconds(20);
/// Redactions get into the store; then it is looked whether there is more.
constexpr Duration kSettling = std::chrono::milliseconds(1500);
/// What was redacted before a crash, or by another leader, gets into the store first: it isn't redacted again.
constexpr Duration kBeginning = std::chrono::seconds(3);
constexpr Duration kAskAgain = std::chrono::seconds(2);
constexpr Duration kRecordEvery = std::chrono::seconds(1);
constexpr std::size_t kRowsMax = 2'000;
constexpr std::size_t kMessagesMax = 500;
/// Who takes the place of a last owner is looked for among so many members.
constexpr std::size_t kHeirsMax = 1'000;
/// How long it is remembered that somebody was erased.
constexpr std::uint64_t kRemembered = 30ULL * 24 * 60 * 60 * 1000;

}  // namespace

// -- The user's slot --

void Erasures::begin(const std::string& user) {
  const Slot slot = slot_of_name(user, shard_.options());
  asked({.slot = slot, .user = user, .started = shard_.wall(), .begins = true, .node = shard_.nodes().self()});
}

void Erasures::asked(const ErasureAskEvent& event) {
  const auto leadership = shard_.replicas().leadership(event.slot);
  if (leadership.state == Leadership::State::Elsewhere && !event.is_forwarded) {
    shard_.nodes().send(leadership.node, NodeChannel::Sessions,
                        remote::encode_for(event.slot, remote::ErasureAsk{event.slot, event.user, event.started,
                                                                          event.begins, event.node, event.shard}));
    return;
  }
  if (!shard_.may_host(event.slot)) return;  // It is asked again.
  const auto row = find(event.slot, event.user);
  const bool is_known = row && (event.begins ? row->state != State::Finished : row->started >= event.started);
  if (is_known) return answer(event, *row);
  Timestamp started = event.started;
  if (row && event.begins) started = std::max(started, Timestamp{row->started.milliseconds + 1});
  const Place place{event.slot, event.user};
  const auto begun = begun_.find(place);
  if (begun != begun_.end() && shard_.now() < begun->second + kAskAgain) return;
  begun_[place] = shard_.now();
  append(event.slot, {.slot = event.slot, .user = event.user, .started = started}, nullptr);
  start_timer(kLookEvery);
}

ErasureAskEvent Erasures::event_of(const remote::ErasureAsk& event) {
  return {.slot = event.slot,
          .user = std::string(event.user),
          .started = event.started,
          .begins = event.begins,
          .is_forwarded = true,
          .node = event.node,
          .shard = static_cast<ShardId>(event.shard)};
}

ErasureAnswerEvent Erasures::event_of(const remote::ErasureAnswer& event) {
  return {event.slot, std::string(event.user), event.started, event.done, event.redacted};
}

void Erasures::answer(const ErasureAskEvent& event, const StoredErasure& row) {
  if (event.begins) return;  // Nobody waits.
  const ErasureAnswerEvent answer{.slot = event.slot,
                                  .user = event.user,
                                  .started = row.started,
                                  .done = row.state != State::Open,
                                  .redacted = row.redacted};
  if (event.node == shard_.nodes().self()) {
    shard_.send(event.shard, PeerEvent{answer});
  } else {
    shard_.nodes().send(
        event.node, NodeChannel::Sessions,
        remote::encode_for_shard(event.shard, remote::ErasureAnswer{answer.slot, answer.user, answer.started,
                                                                    answer.done, answer.redacted}));
  }
}

void Erasures::answered(const ErasureAnswerEvent& event) {
  const auto job = jobs_.find(event.user);
  if (job == jobs_.end() || job->second.started != event.started || !event.done) return;
  job->second.done[event.slot] = event.redacted;
}

/// Asks the slots that aren't done.
void Erasures::lead(const StoredErasure& row) {
  Job& job = jobs_[row.user];
  if (job.started != row.started) job = {.started = row.started};
  const std::uint32_t slots = shard_.options().slots;
  if (job.done.size() == slots) return finish(row, job);
  if (shard_.now() < job.asked + kAskAgain) return;
  job.asked = shard_.now();
  for (std::uint32_t i = 0; i < slots; ++i) {
    const Slot slot{i};
    if (job.done.contains(slot)) continue;
    shard_.send(home_of_slot(slot, shard_.options()), PeerEvent{ErasureAskEvent{.slot = slot,
                                                                                .user = row.user,
                                                                                .started = row.started,
                                                                                .node = shard_.nodes().self(),
                                                                                .shard = shard_.id()}});
  }
}

void Erasures::finish(const StoredErasure& row, Job& job) {
  if (std::exchange(job.finished, true)) return;
  StoredErasure finished = row;
  finished.state = State::Finished;
  finished.redacted = 0;
  for (const auto& [slot, redacted] : job.done) finished.redacted += redacted;
  append(row.slot, finished, [this, user = row.user, redacted = finished.redacted](Result<void> outcome) {
    const auto found = jobs_.find(user);
    if (!outcome && found != jobs_.end()) found->second.finished = false;
    if (outcome) log::info("a user is erased", {{"user", user}, {"messages", redacted}});
  });
}

// -- A slot's part --

void Erasures::start_timer(Duration after) {
  if (std::exchange(timer_, true)) return;
  shard_.timers().add({.due = shard_.now() + after, .kind = TimerKind::Erasures});
}

void Erasures::run_timer() {
  timer_ = false;
  if (shard_.now() >= looked_ + kLookEvery) look();
  step();
  start_timer(runs_.empty() && sweeps_.empty() ? kLookEvery : kPause);
}

/// What the store says has to be done.
void Erasures::look() {
  looked_ = shard_.now();
  std::set<Place> open;
  for (std::uint32_t slot = shard_.id(); slot < shard_.options().slots; slot += shard_.options().shards) {
    if (shard_.may_host({slot})) look({slot}, open);
  }
  std::erase_if(runs_, [&](const auto& run) { return !open.contains(run.first); });
  const auto is_needed = [&](const std::string& user) {
    return std::ranges::any_of(open, [&](const Place& place) { return place.second == user; });
  };
  std::erase_if(sweeps_, [&](const auto& sweep) { return !is_needed(sweep.first); });
  std::erase_if(jobs_, [&](const auto& job) { return !shard_.may_host(slot_of_name(job.first, shard_.options())); });
  std::erase_if(begun_, [&](const auto& begun) { return begun.second + kAskAgain < shard_.now(); });
}

void Erasures::look(Slot slot, std::set<Place>& open) {
  for (const StoredErasure& row : shard_.store().erasures(shard_.id(), slot)) {
    const Place place{slot, row.user};
    if (row.state == State::Open) {
      open.insert(place);
      const auto [run, added] = runs_.try_emplace(place);
      if (added || run->second.started != row.started) {
        run->second = {.started = row.started,
                       .conversation = row.conversation,
                       .seq = row.seq,
                       .redacted = row.redacted,
                       .due = shard_.now() + kBeginning,
                       .recorded = shard_.now()};
      }
    } else if (row.started.milliseconds + kRemembered < shard_.wall().milliseconds && !begun_.contains(place)) {
      begun_[place] = shard_.now();
      StoredErasure forgotten = row;
      forgotten.state = State::Forgotten;
      append(slot, forgotten, nullptr);
    }
    const bool leads = slot == slot_of_name(row.user, shard_.options());
    if (leads && row.state != State::Finished && row.state != State::Forgotten) lead(row);
    if (leads && row.state == State::Finished) jobs_.erase(row.user);
  }
}

/// One read at a time, whoever is due.
void Erasures::step() {
  if (token_ != 0 || runs_.empty()) return;
  auto run = runs_.upper_bound(last_);
  for (std::size_t i = 0; i < runs_.size(); ++i, ++run) {
    if (run == runs_.end()) run = runs_.begin();
    const auto& [place, part] = *run;
    if (part.done || part.due > shard_.now() || !shard_.may_host(place.first)) continue;
    last_ = place;
    if (sweep(place, part)) return;
    token_ = next_token_++;
    shard_.store().find_erasure(shard_.id(), {.token = token_,
                                              .slot = place.first,
                                              .user = place.second,
                                              .conversation = part.conversation,
                                              .seq = part.seq,
                                              .rows_max = kRowsMax,
                                              .messages_max = kMessagesMax});
    return;
  }
}

void Erasures::found(std::uint64_t token, const Result<ErasurePage>& page) {
  if (token != token_) return;
  token_ = 0;
  const auto run = runs_.find(last_);
  if (run == runs_.end()) return;
  Run& part = run->second;
  if (!page) {
    log::warn("what is to be erased can't be read, trying again",
              {{"slot", last_.first}, {"error", page.error().message()}});
    part.due = shard_.now() + kAskAgain;
    return;
  }
  if (!page->found.empty()) {
    // The same place again, once this is in the store.
    part.due = shard_.now() + kSettling;
    erase(last_, *page);
    return;
  }
  part.conversation = page->conversation;
  part.seq = page->seq;
  if (part.conversation == ConversationNumber{0}) {
    record(last_, part, State::Done);
  } else if (shard_.now() >= part.recorded + kRecordEvery) {
    record(last_, part, State::Open);
  }
}

void Erasures::erase(const Place& place, const ErasurePage& page) {
  for (const ErasurePage::Found& one : page.found) {
    std::string what(1, one.is_member ? '\1' : '\0');
    for (const Seq seq : one.messages) append_varint(what, seq.value);
    shard_.hosting().propose({.purpose = ProposeEvent::Purpose::Erase,
                              .conversation = one.name,
                              .from = place.second,
                              .id = {},
                              .properties = {},
                              .payload = std::move(what),
                              .origin = {}});
  }
}

void Erasures::record(const Place& place, Run& run, State state) {
  run.recorded = shard_.now();
  run.done = state == State::Done;
  append(place.first,
         {.slot = place.first,
          .user = place.second,
          .started = run.started,
          .state = state,
          .conversation = run.conversation,
          .seq = run.seq,
          .redacted = run.redacted},
         [this, place](Result<void> outcome) {
           const auto found = runs_.find(place);
           if (!outcome && found != runs_.end()) found->second.done = false;
         });
}

void Erasures::append(Slot slot, const StoredErasure& row, std::function<void(Result<void>)> done) {
  shard_.appending().append(slot,
                            format::ErasureRecord{.user = row.user,
                                                  .started = row.started,
                                                  .state = row.state,
                                                  .conversation = row.conversation,
                                                  .seq = row.seq,
                                                  .redacted = row.redacted},
                            0, std::move(done));
}

std::optional<StoredErasure> Erasures::find(Slot slot, const std::string& user) const {
  for (StoredErasure& row : shard_.store().erasures(shard_.id(), slot)) {
    if (row.user == user) return std::move(row);
  }
  return std::nullopt;
}

// -- In a conversation --

void Erasures::take(Hosted& hosted, const ProposeEvent& proposal) {
  if (hosted.state != Hosted::State::Ready) return;
  std::string_view what = proposal.payload;
  const bool leaves = !what.empty() && what.front() != '\0';
  if (!what.empty()) what.remove_prefix(1);
  const auto run = runs_.find({hosted.slot, proposal.from});
  while (const auto seq = what.empty() ? std::nullopt : take_varint(what)) {
    const Seq message{*seq};
    if (message > hosted.conversation->head() || hosted.conversation->redacts(message)) continue;
    if (run != runs_.end()) ++run->second.redacted;
    const std::string id = shard_.publishing().make_id();
    shard_.proposing().append_unasked(
        hosted, {.kind = format::EntryKind::Redact, .ref = message, .from = proposal.from, .id = id});
  }
  if (leaves) leave(hosted, proposal.from);
}

/// A conversation with members keeps an owner: a moderator, or else whoever has been there for the longest.
void Erasures::leave(Hosted& hosted, const std::string& user) {
  const Seq tip = hosted.conversation->tip();
  const auto member = shard_.groups().find(hosted, user, tip);
  if (!member) return;
  const auto change = [&](format::MemberAction action, format::Role role, std::string_view who) {
    const std::string id = shard_.publishing().make_id();
    const std::string payload = format::encode_change({action, role, who});
    shard_.proposing().append_unasked(hosted,
                                      {.kind = format::EntryKind::Member, .from = user, .id = id, .payload = payload});
  };
  const auto& standing = hosted.group->standing(tip);
  if (member->role == format::Role::Owner && standing.owners == 1 && standing.members > 1) {
    auto others = shard_.groups().page(hosted, {}, kHeirsMax).members;
    std::erase_if(others, [&](const StoredMember& one) {
      return one.user == user || !shard_.groups().find(hosted, one.user, tip);
    });
    const auto rank = [](const StoredMember& one) {
      return std::pair(one.member.role != format::Role::Moderator, one.member.joined);
    };
    const auto heir = std::ranges::min_element(others, {}, rank);
    if (heir != others.end()) change(format::MemberAction::Role, format::Role::Owner, heir->user);
  }
  change(format::MemberAction::Leave, member->role, user);
}

// -- Sessions --

bool Erasures::sweep(const Place& place, const Run& run) {
  const auto& [slot, user] = place;
  Sweep& sweep = sweeps_[user];
  const bool covers = sweep.started == run.started && sweep.slots.contains(slot);
  if (covers && sweep.over) return false;
  if (!covers || sweep.started != run.started) {
    sweep = {.started = run.started, .due = {}};
    for (std::uint32_t i = shard_.id(); i < shard_.options().slots; i += shard_.options().shards) {
      if (shard_.may_host({i})) sweep.slots.insert({i});
    }
    disconnect(user);
  }
  if (sweep.due > shard_.now()) return true;
  token_ = next_token_++;
  shard_.store().find_sessions(shard_.id(), {.token = token_, .user = user, .from = sweep.next, .rows_max = kRowsMax});
  return true;
}

void Erasures::sessions_found(std::uint64_t token, const Result<ErasureSessions>& sessions) {
  if (token != token_) return;
  token_ = 0;
  const auto found = sweeps_.find(last_.second);
  if (found == sweeps_.end()) return;
  Sweep& sweep = found->second;
  if (!sessions) {
    sweep.due = shard_.now() + kAskAgain;
    return;
  }
  for (const std::string& client_id : sessions->client_ids) {
    if (!sweep.slots.contains(slot_of_name(client_id, shard_.options()))) continue;
    sweep.found = true;
    end_session(client_id, found->first);
  }
  sweep.next = sessions->next;
  if (!sweep.next.empty()) return;
  // Until the store shows that nothing is left.
  sweep.over = !std::exchange(sweep.found, false);
  sweep.due = shard_.now() + kSettling;
}

void Erasures::disconnect(const std::string& user) {
  std::vector<std::string> client_ids;
  shard_.clients().for_each([&](Client& client) {
    if (client.session->user() == user) client_ids.emplace_back(client.session->client_id());
  });
  for (const std::string& client_id : client_ids) end_session(client_id, user);
}

void Erasures::end_session(const std::string& client_id, const std::string& user) {
  if (Client* client = shard_.clients().find(client_id)) {
    if (client->session->user() != user) return;
    shard_.close_client(*client, mqtt::ReasonCode::AdministrativeAction);
    // A session that lasts is there still, unless a connection is about to take it up.
    client = shard_.clients().find(client_id);
    if (client != nullptr && client->opening.generation == 0) shard_.end_session(*client);
    return;
  }
  if (shard_.nodes().standalone()) return shard_.session_records().write_end(client_id, 0);
  // Another node may have it: taken over, as by a connection.
  shard_.session_claims().claim(client_id, user, 0, [this, client_id](const Result<SessionClaims::Granted>& granted) {
    if (granted && granted->stored) shard_.session_records().write_end(client_id, granted->generation);
    if (granted && !granted->stored) shard_.session_claims().release(client_id, granted->generation);
  });
}

}  // namespace parley::shard
