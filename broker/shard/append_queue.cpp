#include "broker/shard/append_queue.hpp"

#include <algorithm>
#include <utility>

namespace parley::shard {

std::uint32_t AppendQueue::add(Slot slot, replication::LogGeneration generation, Index index,
                               std::shared_ptr<const std::string> record) {
  OpenRun& open = open_runs_[slot.value];
  const bool goes_on = open.ticket == batch_.ticket && batch_.runs[open.run].generation == generation;
  if (goes_on) {
    batch_.runs[open.run].last = index;
  } else {
    open = {.ticket = batch_.ticket, .run = batch_.runs.size()};
    batch_.runs.push_back({.slot = slot, .generation = generation, .first = index, .last = index});
  }
  records_.push_back(std::move(record));
  return static_cast<std::uint32_t>(records_.size() - 1);
}

void AppendQueue::flush() {
  if (records_.empty() && batch_.hard_states.empty()) return;
  const std::uint64_t ticket = batch_.ticket;
  AppendBatch append{.shard = shard_,
                     .ticket = ticket,
                     .generation = generation_,
                     .records = std::exchange(records_, {}),
                     .hard_states = batch_.hard_states};
  under_way_.push_back(std::exchange(batch_, Batch{.ticket = ticket + 1, .runs = {}, .hard_states = {}}));
  store_.append(std::move(append));
}

AppendQueue::Batch AppendQueue::take(std::uint64_t ticket) {
  if (under_way_.empty() || under_way_.front().ticket != ticket) return {};
  Batch batch = std::move(under_way_.front());
  under_way_.erase(under_way_.begin());
  return batch;
}

std::vector<AppendQueue::Batch> AppendQueue::take_failed(std::uint64_t ticket) {
  if (under_way_.empty() || under_way_.front().ticket != ticket) return {};
  std::vector<Batch> failed = std::exchange(under_way_, {});
  const std::uint64_t next = batch_.ticket;
  failed.push_back(std::exchange(batch_, Batch{.ticket = next + 1, .runs = {}, .hard_states = {}}));
  records_.clear();
  ++generation_;
  return failed;
}

bool AppendQueue::has(Slot slot) const {
  const auto has_it = [slot](const Batch& batch) {
    return std::ranges::find(batch.runs, slot, &Run::slot) != batch.runs.end();
  };
  return has_it(batch_) || std::ranges::any_of(under_way_, has_it);
}

}  // namespace parley::shard
