#include "broker/shard/typing.hpp"

#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

constexpr Duration kInterval = std::chrono::seconds(1);
/// How long a notice is worth anything.
constexpr Duration kExpires = std::chrono::seconds(6);
constexpr std::size_t kTypistsMax = 100'000;

}  // namespace

void Typing::take(Hosted& hosted, const ProposeEvent& event) {
  const bool is_there = hosted.state != Hosted::State::Absent;
  const bool may =
      is_there ? chat::may(chat::Right::Post, shard_.groups().request(hosted, event.from, hosted.conversation->tip()))
               : shard_.proposing().may_create_by_use(hosted.name, event.from);
  shard_.send_outcome(event.origin, {.refusal = may ? chat::Refusal::None : chat::Refusal::NotAuthorized});
  if (!may || hosted.followers.empty() || !passes(hosted, event.from)) return;
  for (const ShardId follower : std::vector(hosted.followers)) {
    shard_.send(follower, PeerEvent{NoticeEvent{.conversation = hosted.name, .typing = event.from, .marks = {}}});
  }
}

bool Typing::passes(const Hosted& hosted, std::string_view user) {
  std::string key = hosted.name;
  key.append(1, '\0').append(user);
  const auto found = last_.find(key);
  if (found != last_.end()) {
    if (found->second + kInterval > shard_.now()) return false;
    found->second = shard_.now();
    return true;
  }
  if (last_.size() >= kTypistsMax) sweep();
  if (last_.size() >= kTypistsMax) return false;
  last_.emplace(std::move(key), shard_.now());
  return true;
}

void Typing::sweep() {
  std::erase_if(last_, [&](const auto& one) { return one.second + kInterval <= shard_.now(); });
}

void Typing::noticed(Feed& feed, const std::string& user) {
  if (!Listeners::any(feed, Hearing::Typing)) return;
  shard_.listeners().send(feed, Hearing::Typing, [&](std::string_view name) {
    return typing_message(shard_.options().root, name, user, shard_.now() + kExpires);
  });
}

}  // namespace parley::shard
