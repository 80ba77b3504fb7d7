#include "broker/shard/append_queue.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace parley::shard {

void AppendQueue::restore(Slot slot, Term term, Index last) {
  ends_.at(slot.value) = {.term = std::max(term, Term{1}), .last = last, .durable = last};
}

format::RecordPosition AppendQueue::next_position(Slot slot) {
  const SlotEnd& end = ends_.at(slot.value);
  return {.slot = slot, .term = end.term, .index = end.last.next()};
}

void AppendQueue::add(Slot slot, std::shared_ptr<const std::string> record, Waiting waiting) {
  ends_.at(slot.value).last = ends_.at(slot.value).last.next();
  pending_bytes_ += record->size();
  batch_items_.push_back({slot, record->size(), std::move(waiting)});
  batch_.push_back(std::move(record));
}

void AppendQueue::flush() {
  if (batch_.empty()) return;
  const std::uint64_t ticket = next_ticket_++;
  pending_.push_back({ticket, generation_, std::move(batch_items_)});
  batch_items_.clear();
  store_.append({.shard = shard_, .ticket = ticket, .generation = generation_, .records = std::move(batch_)});
  batch_.clear();
}

std::vector<Waiting> AppendQueue::settle(std::uint64_t ticket, bool stored) {
  std::vector<Waiting> settled;
  // Batches of a generation that has failed are answered, too, after they were taken out here.
  if (pending_.empty() || pending_.front().ticket != ticket) return settled;
  if (stored) {
    settled.reserve(pending_.front().items.size());
    for (Item& item : pending_.front().items) {
      SlotEnd& end = ends_[item.slot.value];
      end.durable = end.durable.next();
      pending_bytes_ -= item.size;
      settled.push_back(std::move(item.waiting));
    }
    pending_.erase(pending_.begin());
    return settled;
  }
  for (Ticket& failed : pending_) {
    for (Item& item : failed.items) settled.push_back(std::move(item.waiting));
  }
  for (Item& item : batch_items_) settled.push_back(std::move(item.waiting));
  pending_.clear();
  batch_.clear();
  batch_items_.clear();
  pending_bytes_ = 0;
  for (SlotEnd& end : ends_) end.last = end.durable;
  ++generation_;
  return settled;
}

}  // namespace parley::shard
