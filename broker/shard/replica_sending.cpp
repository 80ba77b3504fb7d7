#include "broker/shard/replica_sending.hpp"

#include <algorithm>

#include "base/varint.hpp"
#include "broker/replication/messages_codec.hpp"
#include "storage/format/record.hpp"

namespace parley::shard {
namespace {

/// Bytes of the records of one message; a longer record goes alone.
constexpr std::size_t kPieceBytes = 256 * 1024;

std::string envelope(Slot slot) {
  std::string message(1, '\0');
  append_varint(message, slot.value);
  return message;
}

}  // namespace

// -- Recent records

void ReplicaSending::keep(Slot slot, Index index, RecordPtr record) {
  const auto known = recent_.find(slot);
  const bool goes_on =
      known != recent_.end() && known->second.first.value + known->second.records.size() == index.value;
  if (!goes_on) forget_from(slot, {});  // Perhaps with what `known` is.
  Recent& recent = recent_[slot];
  if (recent.records.empty()) recent.first = index;
  recent_bytes_ += record->size();
  recent.records.push_back(std::move(record));
  order_.emplace_back(slot, index);
  trim();
}

void ReplicaSending::trim() {
  while (recent_bytes_ > recent_bytes_max_ && !order_.empty()) {
    const auto [slot, index] = order_.front();
    order_.pop_front();
    const auto found = recent_.find(slot);
    if (found == recent_.end() || found->second.records.empty() || found->second.first != index) continue;
    recent_bytes_ -= found->second.records.front()->size();
    found->second.records.pop_front();
    found->second.first = index.next();
  }
}

void ReplicaSending::forget_from(Slot slot, Index first) {
  const auto found = recent_.find(slot);
  if (found == recent_.end()) return;
  auto& records = found->second.records;
  while (!records.empty() && found->second.first.value + records.size() > first.value) {
    recent_bytes_ -= records.back()->size();
    records.pop_back();
  }
  if (records.empty()) recent_.erase(found);
}

void ReplicaSending::forget(Slot slot) {
  forget_from(slot, {});
  std::erase_if(queues_, [slot](const auto& one) { return one.first.first == slot; });
}

void ReplicaSending::forget(NodeId node) {
  std::erase_if(queues_, [node](const auto& one) { return one.first.second == node; });
}

void ReplicaSending::find_recent(Slot slot, Index first, Index last) {
  piece_.clear();
  const auto found = recent_.find(slot);
  if (found == recent_.end() || first < found->second.first) return;
  const auto& records = found->second.records;
  std::size_t bytes = 0;
  for (std::uint64_t at = first.value - found->second.first.value;
       at < records.size() && bytes < kPieceBytes && found->second.first.value + at <= last.value; ++at) {
    piece_.push_back(records[at]);
    bytes += records[at]->size();
  }
}

// -- Sending

bool ReplicaSending::send(NodeId to, const replication::PeerMessage& message) {
  std::string bytes = envelope(message.slot);
  replication::encode(message, bytes);
  const bool append = std::holds_alternative<replication::AppendEntries>(message.body);
  return nodes_.send(to, append ? NodeChannel::Replication : NodeChannel::Votes, std::move(bytes));
}

std::optional<Index> ReplicaSending::send(const replication::SendAppend& append) {
  const QueueKey key{append.slot, append.to};
  if (const auto found = queues_.find(key); found != queues_.end()) {
    found->second.appends.push_back(append);
    return std::nullopt;
  }
  Queue queue;
  queue.appends.push_back(append);
  const auto unsent = go_on(key, queue);
  if (!queue.appends.empty()) queues_.emplace(key, std::move(queue));
  return unsent;
}

bool ReplicaSending::send_piece(const replication::SendAppend& append, Index first,
                                std::span<const RecordPtr> records) {
  std::string bytes = envelope(append.slot);
  replication::encode(part_of(append, first, {first.value + records.size() - 1}), bytes);
  std::size_t size = bytes.size();
  for (const RecordPtr& record : records) size += record->size() + 10;
  bytes.reserve(size);
  for (const RecordPtr& record : records) replication::append_record(bytes, *record);
  return nodes_.send(append.to, NodeChannel::Replication, std::move(bytes));
}

/// Until the log has to be read, or the channel takes no more; then the queue is empty.
std::optional<Index> ReplicaSending::go_on(const QueueKey& key, Queue& queue) {
  while (!queue.appends.empty()) {
    replication::SendAppend& append = queue.appends.front();
    find_recent(append.slot, append.first, append.last);
    if (piece_.empty()) {
      read(key, queue);
      return std::nullopt;
    }
    if (!send_piece(append, append.first, piece_)) {
      const Index first = append.first;
      queue.appends.clear();
      return first;
    }
    append.message.prev = {append.message.entries_term, {append.first.value + piece_.size() - 1}};
    append.first = append.message.prev.index.next();
    if (append.first > append.last) queue.appends.pop_front();
  }
  return std::nullopt;
}

void ReplicaSending::read(const QueueKey& key, Queue& queue) {
  const replication::SendAppend& append = queue.appends.front();
  queue.token = next_token_++;
  reads_.emplace(queue.token, key);
  store_.read_log(shard_, {.token = queue.token,
                           .slot = append.slot,
                           .first = append.first,
                           .last = append.last,
                           .bytes_max = kPieceBytes});
}

std::optional<ReplicaSending::Unsent> ReplicaSending::log_read(std::uint64_t token, const Result<LogPage>& page) {
  const auto asked = reads_.find(token);
  if (asked == reads_.end()) return std::nullopt;
  const QueueKey key = asked->second;
  reads_.erase(asked);
  const auto found = queues_.find(key);
  if (found == queues_.end() || found->second.token != token) return std::nullopt;
  Queue queue = std::move(found->second);
  queues_.erase(found);
  replication::SendAppend& append = queue.appends.front();
  if (!page) return Unsent{.slot = key.first, .to = key.second, .first = append.first, .why = page.error()};
  // What stands there may have been replaced since this was to be sent.
  const auto fits = [&](std::size_t i) {
    const auto record = format::decode_trusted_record(*page->records[i]);
    return record && record->position == format::RecordPosition{.slot = key.first,
                                                                .term = append.message.entries_term,
                                                                .index = {append.first.value + i}};
  };
  std::size_t count = 0;
  while (count < page->records.size() && append.first.value + count <= append.last.value && fits(count)) ++count;
  if (count == 0) {
    return Unsent{.slot = key.first, .to = key.second, .first = append.first, .why = StorageError::NotFound};
  }
  if (!send_piece(append, append.first, std::span(page->records).first(count))) {
    return Unsent{.slot = key.first, .to = key.second, .first = append.first, .why = {}};
  }
  append.message.prev = {append.message.entries_term, {append.first.value + count - 1}};
  append.first = append.message.prev.index.next();
  if (append.first > append.last) queue.appends.pop_front();
  const auto unsent = go_on(key, queue);
  if (!queue.appends.empty()) queues_.emplace(key, std::move(queue));
  if (unsent) return Unsent{.slot = key.first, .to = key.second, .first = *unsent, .why = {}};
  return std::nullopt;
}

}  // namespace parley::shard
