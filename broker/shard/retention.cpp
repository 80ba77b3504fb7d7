#include "broker/shard/retention.hpp"

#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

/// In a run: some microseconds each.
constexpr std::size_t kConversationsMax = 500;
constexpr std::size_t kToldMax = 10'000;

}  // namespace

void RetentionJob::run() {
  const ShardOptions& options = shard_.options();
  const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(options.retention).count();
  const std::uint32_t begun = slot_;
  std::size_t looked = 0;
  do {
    const Slot slot{slot_};
    if (home_of_slot(slot, options) == shard_.id() && shard_.may_host(slot)) {
      const auto page = shard_.store().due_retention(shard_.id(), {.slot = slot,
                                                                   .after = after_,
                                                                   .now = shard_.wall(),
                                                                   .age_max = static_cast<std::uint64_t>(age),
                                                                   .count_max = kConversationsMax - looked});
      looked += page.looked;
      for (const auto& due : page.due) take(slot, due);
      after_ = page.next;
      if (after_.value != 0) return;
    }
    after_ = {};
    slot_ = (slot_ + 1) % options.slots;
  } while (slot_ != begun && looked < kConversationsMax);
}

void RetentionJob::take(Slot slot, const LogStore::RetentionDue& due) {
  if (told_.size() >= kToldMax) told_.clear();
  Seq& told = told_[due.number];
  if (told >= due.oldest) return;
  told = due.oldest;
  shard_.appending().append(slot, format::RetentionRecord{.conversation = due.number, .oldest = due.oldest}, 0,
                            [this, number = due.number, name = due.name, oldest = due.oldest](Result<void> outcome) {
                              if (outcome) {
                                shard_.hosting().retained(name, number, oldest);
                              } else {
                                told_.erase(number);
                              }
                            });
}

}  // namespace parley::shard
