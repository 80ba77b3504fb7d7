#include "broker/shard/serving.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

/// Feeds' tokens have a client's place here, which is never that high.
constexpr std::uint64_t kNoPlace = (1U << 24) - 1;
constexpr unsigned kPlaceBits = 24;

/// Records that belong to no session.
bool concerns_members(const format::RecordBody& body) {
  return std::holds_alternative<format::UserConversationRecord>(body) ||
         std::holds_alternative<format::FedRecord>(body);
}

}  // namespace

void Serving::node_connected(NodeId id) {
  Node& one = nodes_[id];
  ++one.connection;
  one.reads = 0;
  one.refused.clear();
  // Unfollowing tells nobody anything, so nothing else changes meanwhile.
  std::vector<ShardId> gone;
  for (const auto& [follower, what] : followers_) {
    if (what.node == id) gone.push_back(follower);
  }
  for (const ShardId follower : gone) {
    const std::string conversation = followers_.at(follower).conversation;
    forget(follower);
    shard_.hosting().unfollow(conversation, follower);
  }
}

void Serving::node_writable(NodeId id) {
  std::vector<ShardId> stopped;
  for (const auto& [follower, what] : followers_) {
    if (what.node == id && what.stopped) stopped.push_back(follower);
  }
  for (const ShardId follower : stopped) {
    const auto found = followers_.find(follower);
    if (found == followers_.end()) continue;
    if (!shard_.nodes().writable(id, NodeChannel::Entries)) return;
    // Answered with how it stands now.
    found->second.stopped = false;
    const std::string conversation = found->second.conversation;
    shard_.hosting().follow(conversation, follower);
  }
}

// -- Proposals and records --

/// True when a proposal of this stream was refused before, or has to be now: the rest shares its fate.
bool Serving::refuses(NodeId from, Slot slot, std::uint64_t stream) {
  Node& one = nodes_[from];
  const auto found = one.refused.find(slot);
  if (found != one.refused.end() && found->second == stream) return true;
  if (shard_.may_host(slot)) return false;
  one.refused[slot] = stream;
  return true;
}

void Serving::answer(NodeId to, const remote::Proposed& event) {
  shard_.nodes().send(to, NodeChannel::Proposals, remote::encode_for(event.slot, event));
}

void Serving::answer(NodeId to, const remote::Written& event) {
  shard_.nodes().send(to, NodeChannel::Proposals, remote::encode_for(event.slot, event));
}

void Serving::propose(NodeId from, const remote::Propose& event) {
  const Slot slot = slot_of_name(event.conversation, shard_.options());
  if (refuses(from, slot, event.stream)) {
    remote::Proposed refused;
    refused.slot = slot;
    refused.stream = event.stream;
    refused.number = event.number;
    refused.status = remote::Status::NotLeader;
    answer(from, refused);
    return;
  }
  Origin origin;
  origin.other_node = {.node = from, .slot = slot, .stream = event.stream, .number = event.number};
  if (event.purpose == static_cast<std::uint64_t>(ProposeEvent::Purpose::Entry)) {
    shard_.hosting().propose(event.conversation, draft_of(event), std::move(origin));
    return;
  }
  shard_.hosting().propose(ProposeEvent{.purpose = static_cast<ProposeEvent::Purpose>(event.purpose),
                                        .conversation = std::string(event.conversation),
                                        .kind = event.kind,
                                        .from = std::string(event.from),
                                        .id = {},
                                        .id_from_client = event.id_from_client,
                                        .properties = {},
                                        .payload = std::string(event.payload),
                                        .origin = std::move(origin)});
}

void Serving::outcome(const NodeOrigin& origin, const Outcome& outcome) {
  remote::Proposed event;
  event.slot = origin.slot;
  event.stream = origin.stream;
  event.number = origin.number;
  event.refusal = outcome.refusal;
  // To a node that doesn't know it, what means about the same.
  if (outcome.refusal == chat::Refusal::Rate && shard_.nodes().peer(origin.node).version < kRateVersion) {
    event.refusal = chat::Refusal::Busy;
  }
  event.seq = outcome.seq;
  event.ts = outcome.ts;
  event.id = outcome.id;
  event.duplicate = outcome.duplicate;
  event.detail = outcome.detail;
  if (outcome.refusal == chat::Refusal::NotLeader) {
    event.status = remote::Status::NotLeader;
    nodes_[origin.node].refused[event.slot] = event.stream;
  } else if (outcome.refusal != chat::Refusal::None) {
    event.status = remote::Status::Refused;
  }
  answer(origin.node, event);
}

void Serving::write(NodeId from, const remote::Write& event) {
  remote::Written answered{event.slot, event.stream, event.number, remote::Status::Done};
  if (event.slot.value >= shard_.options().slots) return;
  if (refuses(from, event.slot, event.stream)) {
    answered.status = remote::Status::NotLeader;
    answer(from, answered);
    return;
  }
  std::vector<std::string> records;
  std::string client_id;
  for (const std::string_view bytes : event.records) {
    const auto record = format::decode_record(bytes);
    if (record && concerns_members(record->body) && event.records.size() == 1) {
      return append(from, answered, {std::string(bytes)});
    }
    if (record) client_id = client_of(record->body);
    if (client_id.empty()) {
      log::error("a record of another node can't be read, refusing it", {{"node", from}, {"slot", event.slot}});
      answered.status = remote::Status::Failed;
      answer(from, answered);
      return;
    }
    records.emplace_back(bytes);
  }
  if (records.empty()) return answer(from, answered);
  shard_.session_claims().check(from, event.slot, client_id, event.generation,
                                [this, from, answered, written = std::move(records)](remote::Status status) {
                                  if (status == remote::Status::Done) {
                                    append(from, answered, written);
                                  } else {
                                    refuse(from, answered, status);
                                  }
                                });
}

void Serving::refuse(NodeId from, remote::Written written, remote::Status status) {
  written.status = status;
  if (status == remote::Status::NotLeader) nodes_[from].refused[written.slot] = written.stream;
  answer(from, written);
}

/// The last one's fate is that of all: they are proposed one behind the other.
void Serving::append(NodeId from, const remote::Written& written, const std::vector<std::string>& records) {
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto record = format::decode_trusted_record(records[i]);
    std::function<void(Result<void>)> done;
    if (i + 1 == records.size()) {
      done = [this, from, answered = written](const Result<void>& outcome) {
        if (outcome) return answer(from, answered);
        const bool elsewhere = refusal_of(outcome.error()) == chat::Refusal::NotLeader;
        refuse(from, answered, elsewhere ? remote::Status::NotLeader : remote::Status::Failed);
      };
    }
    if (!shard_.appending().append_here(written.slot, record->body, done))
      return refuse(from, written, remote::Status::NotLeader);
  }
}

// -- Followers --

void Serving::follow(NodeId from, const remote::Follow& event) {
  const Slot slot = slot_of_name(event.conversation, shard_.options());
  if (!shard_.may_host(slot)) {
    remote::Followed refused;
    refused.follow = event.follow;
    refused.conversation = event.conversation;
    refused.status = remote::Status::NotLeader;
    shard_.nodes().send(from, NodeChannel::Entries, remote::encode_for(slot, refused));
    return;
  }
  if (ids_.contains({from, event.follow})) return;
  const ShardId id = next_id_;
  next_id_ = kOtherNode | (next_id_ + 1);
  std::string conversation(event.conversation);
  followers_[id] = {.node = from, .follow = event.follow, .conversation = conversation, .stopped = false};
  ids_[{from, event.follow}] = id;
  shard_.hosting().follow(conversation, id);
}

void Serving::unfollow(NodeId from, const remote::Unfollow& event) {
  const auto found = ids_.find({from, event.follow});
  if (found == ids_.end()) return;
  const ShardId id = found->second;
  const std::string conversation = followers_.at(id).conversation;
  forget(id);
  shard_.hosting().unfollow(conversation, id);
}

void Serving::forget(ShardId follower) {
  const auto found = followers_.find(follower);
  if (found == followers_.end()) return;
  ids_.erase({found->second.node, found->second.follow});
  followers_.erase(found);
}

void Serving::access(NodeId from, const remote::Access& event) {
  const Slot slot = slot_of_name(event.conversation, shard_.options());
  const std::uint64_t token = next_question_++;
  questions_[token] = {.node = from, .slot = slot, .token = event.token};
  if (!shard_.may_host(slot)) {
    answer(AccessedEvent{.token = token, .refusal = chat::Refusal::NotLeader});
    return;
  }
  shard_.hosting().access({.conversation = std::string(event.conversation),
                           .number = {},
                           .user = std::string(event.user),
                           .shard = kOtherNode,
                           .token = token,
                           .marks = event.marks});
}

void Serving::answer(const AccessedEvent& event) {
  const auto found = questions_.find(event.token);
  if (found == questions_.end()) return;
  const Question question = found->second;
  questions_.erase(found);
  remote::Accessed accessed;
  accessed.slot = question.slot;
  accessed.token = question.token;
  accessed.refusal = event.refusal;
  accessed.visible_from = event.visible_from;
  accessed.marks = remote::remote_marks(event.marks);
  if (event.refusal == chat::Refusal::NotLeader) accessed.status = remote::Status::NotLeader;
  shard_.nodes().send(question.node, NodeChannel::Entries, remote::encode_for(question.slot, accessed));
}

void Serving::send(ShardId follower, const PeerEvent& event) {
  if (const auto* accessed = std::get_if<AccessedEvent>(&event.what)) return answer(*accessed);
  const auto found = followers_.find(follower);
  if (found == followers_.end()) return;
  if (const auto* followed = std::get_if<FollowedEvent>(&event.what)) {
    send(found->second, *followed);
    // Hosting forgets whom it has refused.
    if (followed->refusal != chat::Refusal::None) forget(follower);
  } else if (const auto* committed = std::get_if<CommittedEvent>(&event.what)) {
    send(found->second, *committed);
  } else if (const auto* notice = std::get_if<NoticeEvent>(&event.what)) {
    send(found->second, *notice);
  }
}

void Serving::send(Follower& follower, const FollowedEvent& event) {
  const Slot slot = slot_of_name(follower.conversation, shard_.options());
  remote::Followed followed;
  followed.follow = follower.follow;
  followed.conversation = follower.conversation;
  followed.refusal = event.refusal;
  copy_standing(followed, event);
  if (event.refusal == chat::Refusal::NotLeader) followed.status = remote::Status::NotLeader;
  std::string message = remote::encode_for(slot, followed);
  if (event.refusal != chat::Refusal::None) {
    shard_.nodes().send(follower.node, NodeChannel::Entries, std::move(message));
  } else if (!shard_.nodes().try_send(follower.node, NodeChannel::Entries, std::move(message))) {
    follower.stopped = true;
  }
}

void Serving::send(Follower& follower, const CommittedEvent& event) {
  const Slot slot = slot_of_name(follower.conversation, shard_.options());
  for (std::size_t i = 0; i < event.entries.size() && !follower.stopped;) {
    remote::Committed committed{follower.follow, follower.conversation, {}};
    std::size_t bytes = 0;
    while (i < event.entries.size() && (bytes == 0 || bytes < remote::kRecordsBytesMax)) {
      committed.records.emplace_back(event.entries[i]->bytes());
      bytes += event.entries[i]->bytes().size();
      ++i;
    }
    std::string message = remote::encode_for(slot, committed);
    if (!shard_.nodes().try_send(follower.node, NodeChannel::Entries, std::move(message))) follower.stopped = true;
  }
}

/// What a full channel doesn't take is gone.
void Serving::send(const Follower& follower, const NoticeEvent& event) {
  if (follower.stopped) return;
  const remote::Notice notice{.follow = follower.follow,
                              .conversation = follower.conversation,
                              .typing = event.typing,
                              .marks = remote::remote_marks(event.marks)};
  shard_.nodes().try_send(follower.node, NodeChannel::Entries,
                          remote::encode_for(slot_of_name(follower.conversation, shard_.options()), notice));
}

void Serving::delivered(const remote::Delivered& event) {
  shard_.hosting().delivered({std::string(event.conversation), remote::local_marks(event.marks)});
}

void Serving::led_elsewhere(ShardId follower) {
  const auto found = followers_.find(follower);
  if (found == followers_.end()) return;
  FollowedEvent event{.conversation = found->second.conversation, .refusal = chat::Refusal::NotLeader};
  send(found->second, event);
  forget(follower);
}

// -- Pages --

void Serving::read(NodeId from, const remote::Read& event) {
  const Slot slot = slot_of(event.conversation);
  Node& one = nodes_[from];
  remote::Page refused;
  refused.slot = slot;
  refused.token = event.token;
  refused.status = remote::Status::NotLeader;
  const bool led = slot.value < shard_.options().slots && shard_.may_host(slot);
  if (!led || one.reads >= kReadsMax) {
    if (led) refused.status = remote::Status::Failed;
    shard_.nodes().send(from, NodeChannel::Pages, remote::encode_for(slot, refused));
    return;
  }
  ++one.reads;
  const std::uint64_t token = next_read_++ << kPlaceBits | kNoPlace;
  reads_[token] = {.node = from, .slot = slot, .token = event.token, .connection = one.connection};
  shard_.store().read_entries(shard_.id(), {.token = token,
                                            .conversation = event.conversation,
                                            .first = event.first,
                                            .last = event.last,
                                            .entries_max = std::min<std::size_t>(event.entries_max, 1000),
                                            .bytes_max = std::min(event.bytes_max, remote::kRecordsBytesMax)});
}

bool Serving::entries_read(std::uint64_t token, const Result<ReadPage>& page) {
  if ((token & kNoPlace) != kNoPlace) return false;
  const auto found = reads_.find(token);
  if (found == reads_.end()) return true;
  const PendingRead read = found->second;
  reads_.erase(found);
  Node& to = nodes_[read.node];
  if (to.connection != read.connection) return true;
  --to.reads;
  remote::Page event;
  event.slot = read.slot;
  event.token = read.token;
  if (page) {
    event.corrupt = page->corrupt;
    for (const auto& entry : page->entries) event.records.emplace_back(entry->bytes());
  } else {
    event.status = remote::Status::Failed;
  }
  shard_.nodes().send(read.node, NodeChannel::Pages, remote::encode_for(read.slot, event));
  return true;
}

}  // namespace parley::shard
