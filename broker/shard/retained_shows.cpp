#include "broker/shard/retained_shows.hpp"

#include <algorithm>

#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

/// So many are looked at in one piece.
constexpr std::size_t kPiece = 1'000;
/// So many clients have their turn at once.
constexpr std::size_t kRound = 100;
constexpr Duration kInterval = std::chrono::milliseconds(10);

}  // namespace

void RetainedShows::begin(Client& client, const session::Subscription& subscription) {
  stop(client, subscription.filter);
  if (!client.retained) client.retained = std::make_unique<RetainedWalks>();
  client.retained->left.push_back({subscription, {}, shard_.plain_topics().retained().arrivals()});
  go_on(client);
}

void RetainedShows::stop(Client& client, std::string_view filter) {
  if (!client.retained) return;
  std::erase_if(client.retained->left, [&](const RetainedWalk& one) { return one.subscription.filter == filter; });
}

void RetainedShows::go_on(Client& client) {
  Piece ended = Piece::Done;
  while (client.retained && !client.retained->left.empty() && ended == Piece::Done) {
    ended = send_piece(client, client.retained->left.front());
    if (ended == Piece::Done) client.retained->left.pop_front();
  }
  if (!client.retained) return;
  if (client.retained->left.empty() && !client.retained->listed) {
    client.retained.reset();
  } else if (ended == Piece::Enough || (ended == Piece::NoRoom && !client.output->empty())) {
    list(client);
  }
}

RetainedShows::Piece RetainedShows::send_piece(Client& client, RetainedWalk& walk) {
  PlainTopics& topics = shard_.plain_topics();
  std::size_t left = kPiece;
  Piece ended = Piece::Done;
  topics.retained().match_some(walk.subscription.filter, walk.behind, shard_.now(),
                               [&](const mqtt::MessagePtr& message, std::uint64_t arrival) {
                                 if (!client.session->has_room_for(*message, walk.subscription.options.qos)) {
                                   ended = Piece::NoRoom;
                                 } else if (left-- == 0) {
                                   ended = Piece::Enough;
                                 } else {
                                   if (arrival <= walk.upto) topics.show_retained(client, walk.subscription, message);
                                   walk.behind = message->topic();
                                 }
                                 return ended == Piece::Done;
                               });
  return ended;
}

void RetainedShows::list(Client& client) {
  if (std::exchange(client.retained->listed, true)) return;
  waiting_.emplace_back(client.place, client.session->identity());
  if (timer_) return;
  timer_ = shard_.now() + kInterval;
  shard_.timers().add({.due = *timer_, .kind = TimerKind::RetainedShows});
}

void RetainedShows::run_timer() {
  if (!timer_ || *timer_ > shard_.now()) return;
  timer_.reset();
  for (std::size_t turns = std::min(kRound, waiting_.size()); turns != 0; --turns) {
    const auto [place, identity] = waiting_.front();
    waiting_.pop_front();
    Client* client = shard_.clients().find(place, identity);
    if (client == nullptr || !client->retained) continue;
    client->retained->listed = false;
    go_on(*client);
  }
  if (!waiting_.empty() && !timer_) {
    timer_ = shard_.now() + kInterval;
    shard_.timers().add({.due = *timer_, .kind = TimerKind::RetainedShows});
  }
}

}  // namespace parley::shard
