#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/remote_homes.hpp"
#include "broker/shard/shard.hpp"

/// Reading from the leader: conversations that are followed there, pages, and who may read.
namespace parley::shard {
namespace {

/// How often this node's replica is asked whether it has got further.
constexpr Duration kLoadAgain = std::chrono::seconds(1);

/// Nothing when one of them is damaged.
std::optional<std::vector<format::EntryPtr>> read_entries(const std::vector<std::string_view>& records) {
  std::vector<format::EntryPtr> entries;
  entries.reserve(records.size());
  for (const std::string_view record : records) {
    auto entry = format::Entry::from_bytes(std::string(record));
    if (!entry) return std::nullopt;
    entries.push_back(*std::move(entry));
  }
  return entries;
}

template <class T>
void add_once(std::vector<T>& list, const T& value) {
  if (std::ranges::find(list, value) == list.end()) list.push_back(value);
}

}  // namespace

// -- Conversations --

void RemoteHomes::follow(Slot slot, const std::string& conversation, ShardId follower) {
  Line& to = line(slot);
  Conversation& followed = to.conversations[conversation];
  std::erase(followed.followers, follower);
  if (followed.standing_known) {
    followed.followers.push_back(follower);
    shard_.send(follower, PeerEvent{FollowedEvent(followed.standing)});
    return;
  }
  add_once(followed.waiting, follower);
  ask(slot, to, conversation, followed);
  if (followed.follow == 0) set_timer(slot, to);
}

void RemoteHomes::follow_again(Slot slot, const std::string& conversation, ShardId follower) {
  Line& to = line(slot);
  Conversation& followed = to.conversations[conversation];
  add_once(followed.followers, follower);
  ask(slot, to, conversation, followed);
  if (followed.follow == 0) set_timer(slot, to);
}

void RemoteHomes::unfollow(Slot slot, const std::string& conversation, ShardId follower) {
  Line* line = find(slot);
  if (line == nullptr) return;
  const auto found = line->conversations.find(conversation);
  if (found == line->conversations.end()) return;
  Conversation& followed = found->second;
  std::erase(followed.followers, follower);
  std::erase(followed.waiting, follower);
  std::erase_if(followed.reads, [&](const ReadEvent& read) { return read.shard == follower; });
  if (!followed.followers.empty() || !followed.waiting.empty()) return;
  if (followed.follow != 0) {
    shard_.nodes().send(line->target, NodeChannel::Entries,
                        remote::encode_for(slot, remote::Unfollow{followed.follow, conversation}));
  }
  followed.follow = 0;
  followed.standing_known = false;
  drop_if_unfollowed(slot, conversation);
}

void RemoteHomes::ask(Slot slot, const Line& line, const std::string& name, Conversation& conversation) {
  const bool wanted = !conversation.followers.empty() || !conversation.waiting.empty();
  if (!wanted || conversation.follow != 0 || line.target == NodeId{}) return;
  const std::uint64_t follow = next_follow_++;
  const bool sent = shard_.nodes().try_send(line.target, NodeChannel::Entries,
                                            remote::encode_for(slot, remote::Follow{follow, name}));
  if (sent) conversation.follow = follow;
}

void RemoteHomes::ask_all(Slot slot, Line& line) {
  for (auto& [name, conversation] : line.conversations) {
    ask(slot, line, name, conversation);
    send_reads(line, name, conversation);
  }
  send_questions(slot, line);
}

RemoteHomes::Conversation* RemoteHomes::find_followed(NodeId from, std::string_view name, std::uint64_t follow) {
  Line* line = find(slot_of_name(name, shard_.options()));
  if (line == nullptr || line->target != from) return nullptr;
  const auto found = line->conversations.find(std::string(name));
  return found == line->conversations.end() || found->second.follow != follow ? nullptr : &found->second;
}

void RemoteHomes::followed(NodeId from, const remote::Followed& event) {
  Conversation* conversation = find_followed(from, event.conversation, event.follow);
  if (conversation == nullptr) return;
  const std::string name(event.conversation);
  const Slot slot = slot_of_name(name, shard_.options());
  if (event.status == remote::Status::NotLeader) {
    conversation->follow = 0;
    conversation->standing_known = false;
    set_timer(slot, *find(slot));
    return;
  }
  FollowedEvent standing{.conversation = name, .refusal = event.refusal, .remote = true};
  copy_standing(standing, event);
  if (event.refusal != chat::Refusal::None) {
    // The leader has forgotten this wish with its answer.
    conversation->follow = 0;
    for (const ShardId follower : std::exchange(conversation->waiting, {})) {
      shard_.send(follower, PeerEvent{FollowedEvent(standing)});
    }
    drop_if_unfollowed(slot, name);
    return;
  }
  conversation->standing = standing;
  conversation->standing_known = true;
  for (const ShardId follower : std::exchange(conversation->waiting, {})) add_once(conversation->followers, follower);
  // Whoever is told may unfollow at once.
  for (const ShardId follower : std::vector(conversation->followers)) {
    shard_.send(follower, PeerEvent{FollowedEvent(standing)});
  }
}

void RemoteHomes::drop_if_unfollowed(Slot slot, const std::string& name) {
  Line* line = find(slot);
  if (line == nullptr) return;
  const auto found = line->conversations.find(name);
  if (found == line->conversations.end()) return;
  if (!found->second.followers.empty() || !found->second.waiting.empty() || found->second.loading) return;
  line->conversations.erase(found);
  forget_if_unused(slot);
}

void RemoteHomes::committed(NodeId from, const remote::Committed& event) {
  Conversation* conversation = find_followed(from, event.conversation, event.follow);
  if (conversation == nullptr || !conversation->standing_known) return;
  const std::string name(event.conversation);
  const Slot slot = slot_of_name(name, shard_.options());
  auto entries = read_entries(event.records);
  bool sound = entries.has_value() && !entries->empty();
  Seq head = conversation->standing.head;
  for (std::size_t i = 0; sound && i < entries->size(); ++i) {
    const format::EntryRecord& entry = **(*entries)[i];
    sound = entry.conversation == conversation->standing.number && entry.seq <= head.next();
    head = std::max(head, entry.seq);
  }
  if (!sound) {
    log::error("another node's entries can't be read, asking for them again", {{"node", from}, {"conversation", name}});
    shard_.nodes().send(from, NodeChannel::Entries,
                        remote::encode_for(slot, remote::Unfollow{conversation->follow, name}));
    conversation->follow = 0;
    conversation->standing_known = false;
    set_timer(slot, *find(slot));
    return;
  }
  conversation->standing.head = head;
  for (const ShardId follower : std::vector(conversation->followers)) {
    shard_.send(follower, PeerEvent{CommittedEvent{name, *entries}});
  }
}

void RemoteHomes::noticed(NodeId from, const remote::Notice& event) {
  const Conversation* conversation = find_followed(from, event.conversation, event.follow);
  if (conversation == nullptr || !conversation->standing_known) return;
  const NoticeEvent notice{.conversation = std::string(event.conversation),
                           .typing = std::string(event.typing),
                           .marks = remote::local_marks(event.marks)};
  for (const ShardId follower : std::vector(conversation->followers)) {
    shard_.send(follower, PeerEvent{NoticeEvent(notice)});
  }
}

void RemoteHomes::delivered(const DeliveredEvent& event) {
  const Slot slot = slot_of_name(event.conversation, shard_.options());
  const Line* line = find(slot);
  if (line == nullptr || line->target == NodeId{}) return;
  const remote::Delivered message{event.conversation, remote::remote_marks(event.marks)};
  shard_.nodes().try_send(line->target, NodeChannel::Entries, remote::encode_for(slot, message));
}

// -- This node's replica --

void RemoteHomes::load(const std::string& name, Conversation& conversation) {
  if (std::exchange(conversation.loading, true)) return;
  conversation.here_at = shard_.now();
  shard_.store().load_conversation(shard_.id(), name);
}

bool RemoteHomes::loaded(const std::string& name, const LogStoreEvents::LoadedConversation* loaded) {
  Line* line = find(slot_of_name(name, shard_.options()));
  if (line == nullptr) return false;
  const auto found = line->conversations.find(name);
  if (found == line->conversations.end() || !found->second.loading) return false;
  Conversation& conversation = found->second;
  conversation.loading = false;
  conversation.here = {};
  if (loaded != nullptr && loaded->conversation) {
    conversation.here = loaded->conversation->head;
    conversation.epoch_here = loaded->conversation->epoch;
  }
  send_reads(*line, name, conversation);
  if (line->stuck_since != Instant::max() && line->stuck_since + shard_.options().leader_wait <= shard_.now()) {
    serve_here(name, conversation, loaded);
  }
  drop_if_unfollowed(slot_of_name(name, shard_.options()), name);
  return true;
}

/// Nobody leads: whoever waits gets what this node has, or is refused.
void RemoteHomes::serve_here(const std::string& name, Conversation& conversation,
                             const LogStoreEvents::LoadedConversation* loaded) {
  FollowedEvent standing{.conversation = name, .refusal = chat::Refusal::NoMajority};
  const bool here = loaded != nullptr && loaded->conversation;
  if (here) {
    standing.refusal = chat::Refusal::None;
    copy_standing(standing, *loaded->conversation);
  }
  const std::vector<ShardId> waiting = std::exchange(conversation.waiting, {});
  if (here) {
    for (const ShardId follower : waiting) add_once(conversation.followers, follower);
  }
  // Whoever is told may unfollow at once, and with the last one the conversation goes.
  for (const ShardId follower : waiting) shard_.send(follower, PeerEvent{FollowedEvent(standing)});
}

// -- Pages --

void RemoteHomes::read(ReadEvent event) {
  const Slot slot = slot_of_name(event.conversation, shard_.options());
  Line* line = find(slot);
  const auto found =
      line != nullptr ? line->conversations.find(event.conversation) : decltype(line->conversations.end()){};
  if (line == nullptr || found == line->conversations.end()) {
    // It is led here by now.
    shard_.send(event.shard, PeerEvent{ReadHereEvent{.token = event.token}});
    return;
  }
  Conversation& conversation = found->second;
  conversation.reads.push_back(std::move(event));
  send_reads(*line, found->first, conversation);
  if (!conversation.reads.empty()) set_timer(slot, *line);
}

/// From this node's replica where that has got far enough, else from the leader.
void RemoteHomes::send_reads(Line& line, const std::string& name, Conversation& conversation) {
  if (conversation.reads.empty() || conversation.loading) return;
  const bool same_epoch = conversation.epoch_here == conversation.standing.epoch;
  const auto reaches = [&](const ReadEvent& read) { return same_epoch && read.last <= conversation.here; };
  if (!std::ranges::all_of(conversation.reads, reaches) &&
      (conversation.here_at == Instant{} || conversation.here_at + kLoadAgain <= shard_.now())) {
    load(name, conversation);
    return;
  }
  for (ReadEvent& read : std::exchange(conversation.reads, {})) {
    if (reaches(read)) {
      shard_.send(read.shard, PeerEvent{ReadHereEvent{.token = read.token}});
    } else if (!ask_for_page(line, read)) {
      conversation.reads.push_back(std::move(read));
    }
  }
}

bool RemoteHomes::ask_for_page(const Line& line, ReadEvent& read) {
  if (line.target == NodeId{}) return false;
  const Slot slot = slot_of_name(read.conversation, shard_.options());
  const std::uint64_t token = next_token_;
  const bool sent = shard_.nodes().try_send(line.target, NodeChannel::Pages,
                                            remote::encode_for(slot, remote::Read{.token = token,
                                                                                  .conversation = read.number,
                                                                                  .first = read.first,
                                                                                  .last = read.last,
                                                                                  .entries_max = read.entries_max,
                                                                                  .bytes_max = read.bytes_max}));
  if (!sent) return false;
  ++next_token_;
  reads_.emplace(token, PendingRead{line.target, slot, std::move(read)});
  return true;
}

void RemoteHomes::page(NodeId from, const remote::Page& event) {
  const auto found = reads_.find(event.token);
  if (found == reads_.end() || found->second.node != from) return;
  ReadEvent read = std::move(found->second.event);
  const Slot slot = found->second.slot;
  reads_.erase(found);
  auto entries = event.status == remote::Status::Done ? read_entries(event.records) : std::nullopt;
  if (!entries) {
    // Once more, later, from whoever leads then.
    Line* line = find(slot);
    if (line == nullptr) return;
    const auto followed = line->conversations.find(read.conversation);
    if (followed == line->conversations.end()) return;
    followed->second.reads.push_back(std::move(read));
    set_timer(slot, *line);
    return;
  }
  shard_.send(read.shard, PeerEvent{PageEvent{.token = read.token, .page = {*std::move(entries), event.corrupt}}});
}

// -- Access --

void RemoteHomes::access(Slot slot, AccessEvent event) {
  Line& to = line(slot);
  to.questions.push_back(std::move(event));
  send_questions(slot, to);
  if (!to.questions.empty()) set_timer(slot, to);
}

void RemoteHomes::send_questions(Slot slot, Line& line) {
  if (line.target == NodeId{} || line.questions.empty()) return;
  std::erase_if(line.questions, [&](AccessEvent& question) {
    const std::uint64_t token = next_token_;
    const remote::Access asked{token, question.conversation, question.user, question.marks};
    if (!shard_.nodes().try_send(line.target, NodeChannel::Entries, remote::encode_for(slot, asked))) return false;
    ++next_token_;
    line.asked.emplace(token, std::move(question));
    return true;
  });
}

void RemoteHomes::accessed(NodeId from, const remote::Accessed& event) {
  Line* line = find(event.slot);
  if (line == nullptr || line->target != from) return;
  const auto found = line->asked.find(event.token);
  if (found == line->asked.end()) return;
  AccessEvent question = std::move(found->second);
  line->asked.erase(found);
  if (event.status == remote::Status::NotLeader) {
    line->questions.push_back(std::move(question));
    set_timer(event.slot, *line);
    return;
  }
  forget_if_unused(event.slot);
  shard_.send(question.shard, PeerEvent{AccessedEvent{question.token, event.refusal, event.visible_from,
                                                      remote::local_marks(event.marks)}});
}

/// Nobody leads: who is a member as far as this node knows may read what it has.
void RemoteHomes::answer_here(const std::vector<AccessEvent>& questions) {
  for (const AccessEvent& question : questions) {
    AccessedEvent answer{.token = question.token, .refusal = chat::Refusal::NoMajority};
    if (const auto member = shard_.store().find_member(shard_.id(), question.number, question.user)) {
      answer.refusal = chat::Refusal::None;
      answer.visible_from = member->joined;
    }
    shard_.send(question.shard, PeerEvent{std::move(answer)});
  }
}

}  // namespace parley::shard
