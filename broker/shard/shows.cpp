#include "broker/shard/shows.hpp"

#include <algorithm>
#include <functional>

#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

constexpr Duration kInterval = std::chrono::milliseconds(100);
/// So long states are gathered, so that those online come first.
constexpr Duration kGathering = std::chrono::milliseconds(20);
constexpr std::size_t kUsersMax = 100;
constexpr std::size_t kRoundMax = 10'000;
constexpr std::uint32_t kAskedMax = 4;
constexpr std::size_t kOutputMax = 64 * 1024;

}  // namespace

Shows::Key Shows::key_of(const Client& client) { return {client.place, client.session->identity()}; }

bool Shows::has_room(const Client& client) { return client.output != nullptr && client.output->size() < kOutputMax; }

Shows::Queue& Shows::queue_of(const Client& client, Duration wait) {
  start_timer(shard_.now() + wait);
  return queues_[key_of(client)];
}

/// A later one that was set comes as well, and does no harm.
void Shows::start_timer(Instant due) {
  if (timer_ && *timer_ <= due) return;
  timer_ = due;
  shard_.timers().add({.due = due, .kind = TimerKind::Shows});
}

void Shows::marks(Client& client, const std::string& conversation, const std::string& filter) {
  queue_of(client, Duration::zero()).marks.emplace_back(conversation, filter);
}

void Shows::presence(Client& client, const std::string& user, bool online) {
  Queue& queue = queue_of(client, kGathering);
  (online ? queue.online : queue.offline).insert(user);
  (online ? queue.offline : queue.online).erase(user);
}

bool Shows::awaits(const Client& client, const std::string& user) const {
  const auto found = queues_.find(key_of(client));
  return found != queues_.end() && (found->second.online.contains(user) || found->second.offline.contains(user));
}

void Shows::detach(Client& client) { queues_.erase(key_of(client)); }

void Shows::run_timer() {
  if (!timer_ || *timer_ > shard_.now()) return;
  timer_.reset();
  std::size_t sent = 0;
  auto one = queues_.upper_bound(last_);
  for (std::size_t left = queues_.size(); left != 0 && sent < kRoundMax; --left) {
    if (one == queues_.end()) one = queues_.begin();
    last_ = one->first;
    Client* client = shard_.clients().find(last_.first, last_.second);
    Queue& queue = one->second;
    if (client != nullptr && client->output != nullptr) {
      sent += show_presence(*client, queue);
      show_marks(*client, queue);
    }
    const bool done = queue.marks.empty() && queue.asked == 0 && queue.online.empty() && queue.offline.empty();
    one = done ? queues_.erase(one) : std::next(one);
  }
  if (!queues_.empty()) start_timer(shard_.now() + kInterval);
}

void Shows::show_marks(Client& client, Queue& queue) {
  while (!queue.marks.empty() && queue.asked < kAskedMax && has_room(client)) {
    const auto [conversation, filter] = std::move(queue.marks.front());
    queue.marks.pop_front();
    Feed* feed = shard_.feeds().find(conversation);
    if (feed == nullptr) continue;
    ++queue.asked;
    shard_.marks().show(client, *feed, filter, [this, key = key_of(client)] { marks_shown(key); });
  }
}

void Shows::marks_shown(const Key& key) {
  const auto found = queues_.find(key);
  if (found == queues_.end() || found->second.asked == 0) return;
  --found->second.asked;
  start_timer(shard_.now());
}

std::size_t Shows::show_presence(Client& client, Queue& queue) {
  std::size_t sent = 0;
  for (auto* users : {&queue.online, &queue.offline}) {
    while (!users->empty() && sent < kUsersMax && has_room(client)) {
      const std::string user = std::move(users->extract(users->begin()).value());
      shard_.presence().watches().show_now(client, user);
      ++sent;
    }
  }
  return sent;
}

}  // namespace parley::shard
