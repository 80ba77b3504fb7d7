#include "broker/shard/share_members.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/topic.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;

constexpr Duration kAskAgain = std::chrono::seconds(1);
/// Entries of one member, under way or on their way to it.
constexpr std::size_t kWindowMax = 100;

/// Members that have gone without their homes knowing; what more go are told once.
constexpr std::size_t kLeavingMax = 10'000;

std::string member_name(chat::Form form, const session::Session& session) {
  return std::string(form == chat::Form::Json ? "j" : "m").append(session.client_id());
}

}  // namespace

std::string share_filter(std::string_view group, std::string_view topic) {
  return std::string(format::kSharePrefix).append(group).append("/").append(topic);
}

// -- Joining and leaving --

std::optional<ShareMembers::Place> ShareMembers::place_of(const session::Session& session,
                                                          std::string_view filter) const {
  const auto shared = mqtt::shared_filter(filter);
  const auto parts = shared ? chat::read_topic(shard_.options().root, shared->filter) : std::nullopt;
  if (!parts) return std::nullopt;
  auto conversation = chat::conversation_meant(parts->conversation, session.user());
  if (!conversation) return std::nullopt;
  return Place{std::string(shared->group), *std::move(conversation), member_name(parts->form, session)};
}

void ShareMembers::join(Client& client, Feed& feed, const Wish& wish, ShareSeat::Known known) {
  session::Session& session = *client.session;
  const auto shared = mqtt::shared_filter(wish.filter);
  const auto parts = chat::read_topic(shard_.options().root, shared->filter);
  const auto cursor = session.add_shared_cursor(wish.filter, feed.standing.epoch, wish.qos, wish.subscription_id);
  Follower& follower = shard_.feeds().add_follower(feed, client, cursor, parts->form);
  follower.seat = std::make_unique<ShareSeat>(ShareSeat{.group = std::string(shared->group),
                                                        .start = wish.start,
                                                        .start_epoch = wish.start_epoch.value_or(Epoch{}),
                                                        .known = std::move(known)});
  ++client.seats;
  take_seat(follower);
}

std::uint64_t ShareMembers::new_token() {
  std::uint64_t token = 0;
  do token = shard_.random().next();
  while (token == 0 || seats_.contains(token) || leaving_answers_.contains(token));
  return token;
}

/// Tells the home that the client is a member, from now on as this.
void ShareMembers::take_seat(Follower& follower) {
  ShareSeat& seat = *follower.seat;
  const session::Session& session = *follower.client->session;
  const auto place = place_of(session, session.cursor(follower.cursor).topic);
  // What it was before ends with that, by its name.
  if (const auto earlier = leaving_.find(*place); earlier != leaving_.end()) forget_leaving(earlier);
  seats_.erase(seat.token);
  const std::uint64_t token = seat.token = new_token();
  seats_[token] = &follower;
  seat.joined = seat.refused = seat.replaced = false;
  seat.granted.clear();
  // What was acknowledged meanwhile is its own, too, until the home is told that it is done.
  std::vector<Seq> held = session.shared_under_way(follower.cursor);
  held.insert(held.end(), seat.done.begin(), seat.done.end());
  std::ranges::sort(held);
  held.erase(std::unique(held.begin(), held.end()), held.end());
  tell(place->conversation, session.user(),
       {.op = ShareCommand::Op::Joins,
        .group = seat.group,
        .member = place->member,
        .token = token,
        .shard = shard_.id(),
        .window = std::min<std::size_t>(session.receive_max(), kWindowMax),
        .lasts = follower.client->is_lasting(),
        .start = seat.start,
        .start_epoch = seat.start_epoch,
        .held = std::move(held)},
       token);
}

void ShareMembers::tell(const std::string& conversation, const std::string& user, const ShareCommand& command,
                        std::uint64_t answer_to) {
  // An id from the client is what may be sent again to the next leader; the token does the same here.
  ProposeEvent event{.purpose = ProposeEvent::Purpose::Share,
                     .conversation = conversation,
                     .kind = format::EntryKind::Message,
                     .from = user,
                     .id = {},
                     .id_from_client = true,
                     .properties = {},
                     .payload = encode(command),
                     .origin = {}};
  if (answer_to != 0) {
    event.origin = {
        .shard = shard_.id(), .client = kNoClient, .identity = answer_to, .ticket = {.qos = mqtt::Qos::AtLeastOnce}};
  }
  shard_.send(home_of_name(conversation, shard_.options()), PeerEvent{std::move(event)});
}

void ShareMembers::tell_leaving(const Place& place, const std::string& user, ShareCommand command) {
  command.group = place.group;
  command.member = place.member;
  command.shard = shard_.id();
  auto known = leaving_.find(place);
  if (known == leaving_.end() && leaving_.size() >= kLeavingMax) return tell(place.conversation, user, command, 0);
  const std::uint64_t answer = new_token();
  // With the end of one that is away it is away, too.
  if (known == leaving_.end()) {
    known = leaving_.emplace(place, Leaving{}).first;
  } else {
    leaving_answers_.erase(known->second.answer);
  }
  known->second = {.user = user, .command = command, .answer = answer};
  leaving_answers_[answer] = known;
  tell(place.conversation, user, command, answer);
}

void ShareMembers::forget_leaving(Leavings::iterator one) {
  leaving_answers_.erase(one->second.answer);
  leaving_.erase(one);
}

void ShareMembers::left(Follower& follower, bool ends) {
  const session::Session& session = *follower.client->session;
  ShareSeat& seat = *follower.seat;
  seats_.erase(seat.token);
  --follower.client->seats;
  const std::string& conversation = follower.feed->name;
  // Who hasn't been told yet that it is a member isn't one, whatever comes of it.
  const auto known = std::exchange(seat.known, nullptr);
  // What was acknowledged last counts.
  if (seat.joined && !seat.done.empty()) {
    shard_.send(home_of_name(conversation, shard_.options()),
                PeerEvent{ShareDoneEvent{conversation, seat.group, seat.token, std::move(seat.done)}});
  }
  tell_leaving({seat.group, conversation, member_name(follower.form, session)}, session.user(),
               {.op = ends ? ShareCommand::Op::Ends : ShareCommand::Op::Away, .token = seat.token, .lasts = !known});
  if (ends && known) known(Refusal::Busy);
}

void ShareMembers::ended(const session::Session& session) {
  for (const auto& subscription : session.subscriptions()) {
    if (!mqtt::shared_filter(subscription.filter) || shard_.is_plain(subscription.filter)) continue;
    if (const auto place = place_of(session, subscription.filter)) {
      tell_leaving(*place, session.user(), {.op = ShareCommand::Op::Ends});
    }
  }
}

// -- Sessions that go on --

void ShareMembers::resume(Client& client) {
  const ConnectionId connection = client.connection;
  for (const auto& subscription : std::vector(client.session->subscriptions())) {
    if (!mqtt::shared_filter(subscription.filter) || shard_.is_plain(subscription.filter)) continue;
    const auto place = place_of(*client.session, subscription.filter);
    if (!place) continue;
    resume(client, subscription, place->conversation);
    if (shard_.client_of(connection) != &client) return;
  }
}

void ShareMembers::resume(Client& client, const session::Subscription& subscription, const std::string& conversation) {
  shard_.feeds().with_access(
      conversation, client.session->user(),
      [this, connection = client.connection, subscription](Feed& feed, const Feeds::Access& access) {
        Client* resumed = shard_.client_of(connection);
        if (resumed == nullptr) return;
        session::Session& session = *resumed->session;
        if (session.find_subscription(subscription.filter) == nullptr || session.find_cursor(subscription.filter)) {
          return;
        }
        if (access.refusal == Refusal::NotAuthorized) {
          log::info("a session's user may not read the conversation any more, ending the subscription",
                    {{"client_id", session.client_id()}, {"conversation", feed.name}});
          session.remove_subscription(subscription.filter);
          if (resumed->persisted) shard_.session_records().write(*resumed, {}, nullptr);
          const auto place = place_of(session, subscription.filter);
          tell_leaving(*place, session.user(), {.op = ShareCommand::Op::Ends});
          return;
        }
        if (access.refusal != Refusal::None) {
          log::error("a session's conversation can't be read, closing the client's connection",
                     {{"client_id", session.client_id()}, {"conversation", feed.name}});
          shard_.close_client(*resumed, mqtt::ReasonCode::UnspecifiedError);
          return;
        }
        join(*resumed, feed,
             {.filter = subscription.filter,
              .qos = subscription.options.qos,
              .subscription_id = subscription.subscription_id},
             nullptr);
        const auto cursor = session.find_cursor(subscription.filter);
        Follower* follower = cursor ? shard_.feeds().find_follower(*resumed, *cursor) : nullptr;
        if (follower != nullptr) shard_.feeds().release(*resumed, *follower);
      });
}

void ShareMembers::stand_anew(Feed& feed) {
  // The answer may come at once, and end a subscription.
  std::vector<std::uint64_t> tokens;
  for (const Follower* follower : feed.followers) {
    if (follower->seat) tokens.push_back(follower->seat->token);
  }
  for (const std::uint64_t token : tokens) {
    const auto found = seats_.find(token);
    if (found != seats_.end()) take_seat(*found->second);
  }
}

void ShareMembers::answered(std::uint64_t token, const Outcome& outcome) {
  if (const auto leaving = leaving_answers_.find(token); leaving != leaving_answers_.end()) {
    if (chat::rule_of(outcome.refusal).retry_after != 0) return ask_again(token);
    return forget_leaving(leaving->second);
  }
  const auto found = seats_.find(token);
  if (found == seats_.end()) return;
  Follower& follower = *found->second;
  ShareSeat& seat = *follower.seat;
  if (outcome.refusal == Refusal::None && seat.replaced) {
    seat.refused = true;
    return ask_again(token);
  }
  if (outcome.refusal == Refusal::None) {
    seat.joined = true;
    seat.start = {};
    seat.start_epoch = {};
    if (!seat.done.empty()) touched_.push_back(token);
    if (const auto known = std::exchange(seat.known, nullptr)) known(Refusal::None);
    return;
  }
  if (const auto known = std::exchange(seat.known, nullptr)) return known(outcome.refusal);
  if (outcome.refusal == Refusal::NotAuthorized) return give_up(follower);
  seat.refused = true;
  ask_again(token);
}

void ShareMembers::ask_again(std::uint64_t token) {
  refused_.push_back(token);
  if (refused_.size() == 1) {
    shard_.timers().add({.due = shard_.now() + kAskAgain, .kind = TimerKind::ShareMembers});
  }
}

/// Its user may not read any more.
void ShareMembers::give_up(Follower& follower) {
  Client& client = *follower.client;
  session::Session& session = *client.session;
  const session::CursorId cursor = follower.cursor;
  const std::string filter(session.cursor(cursor).topic);
  log::info("a user has left a conversation or may not read it any more, ending the subscription",
            {{"client_id", session.client_id()}, {"topic", filter}});
  session.remove_subscription(filter);
  if (client.persisted) shard_.session_records().write(client, {}, nullptr);
  session.remove_cursor(cursor);
  shard_.feeds().remove_follower(client, cursor);
}

void ShareMembers::run_timer() {
  for (const std::uint64_t token : std::exchange(refused_, {})) {
    if (const auto leaving = leaving_answers_.find(token); leaving != leaving_answers_.end()) {
      const auto [place, what] = *leaving->second;
      tell(place.conversation, what.user, what.command, token);
      continue;
    }
    const auto found = seats_.find(token);
    if (found != seats_.end() && found->second->seat->refused) take_seat(*found->second);
  }
}

// -- Entries --

void ShareMembers::granted(const ShareGrantEvent& event) {
  const auto found = seats_.find(event.token);
  if (found == seats_.end()) return;
  Follower& follower = *found->second;
  // Another connection of the client's has taken its place, which perhaps is an older one.
  if (event.seqs.empty()) {
    follower.seat->replaced = true;
    if (follower.seat->joined) answered(event.token, {.refusal = Refusal::Busy});
    return;
  }
  follower.seat->granted.insert(follower.seat->granted.end(), event.seqs.begin(), event.seqs.end());
  shard_.feeds().pump_granted(follower);
}

void ShareMembers::acknowledged(Client& client) {
  for (const auto& follower : client.following) {
    if (!follower || !follower->seat) continue;
    const auto done = client.session->take_shared_done(follower->cursor);
    if (done.empty()) continue;
    auto& list = follower->seat->done;
    list.insert(list.end(), done.begin(), done.end());
    touch(*follower);
  }
}

void ShareMembers::passed(Follower& follower, Seq seq) {
  follower.seat->done.push_back(seq);
  touch(follower);
}

void ShareMembers::touch(Follower& follower) {
  if (follower.seat->joined) touched_.push_back(follower.seat->token);
}

void ShareMembers::flush() {
  while (!touched_.empty()) {
    for (const std::uint64_t token : std::exchange(touched_, {})) {
      const auto found = seats_.find(token);
      if (found == seats_.end() || found->second->seat->done.empty()) continue;
      ShareSeat& seat = *found->second->seat;
      const std::string& conversation = found->second->feed->name;
      shard_.send(home_of_name(conversation, shard_.options()),
                  PeerEvent{ShareDoneEvent{conversation, seat.group, token, std::exchange(seat.done, {})}});
    }
  }
}

}  // namespace parley::shard
