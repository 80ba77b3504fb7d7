#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/number.hpp"

namespace parley::storage {

/// Records of the log that wait until they are committed, by slot and in the order of the log. A later record of a slot
/// replaces everything of the slot at or above its index. Raft §5.3.
///
/// Belongs to one thread. Memory: an Item for each record that waits, and some 60 bytes a slot.
template <class Note>
class SlotQueues {
 public:
  struct Item {
    Lsn position;
    Index index;
    Note note;  ///< What the owner wants to know of it later.
  };

  /// Nothing of the slot was added or said yet.
  [[nodiscard]] bool is_new(Slot slot) const { return slot.value >= queues_.size() || !queues_[slot.value].known; }
  /// The index of the record added last; 0: none.
  [[nodiscard]] Index last(Slot slot) const { return is_new(slot) ? Index{0} : queues_[slot.value].last; }
  /// `last`: the slot's record before the first that will be added. Those up to `through` have been dealt with, and
  /// are passed over.
  void begin(Slot slot, Index last, Lsn through) {
    Queue& queue = at(slot);
    queue.known = true;
    queue.last = last;
    queue.through = through;
  }

  void add(Slot slot, const Item& item) {
    Queue& queue = at(slot);
    queue.known = true;
    if (item.position <= queue.through) return;
    if (item.index <= queue.last) {
      while (queue.front < queue.items.size() && queue.items.back().index >= item.index) queue.items.pop_back();
    }
    queue.last = item.index;
    push(slot, queue, item);
  }
  /// A record whose own index isn't believed: it shares the fate of the one before it.
  void add_behind(Slot slot, Lsn position, const Note& note) {
    Queue& queue = at(slot);
    queue.known = true;
    if (position > queue.through) push(slot, queue, {position, queue.last, note});
  }

  /// Slots that have records waiting, and maybe more, in no order. Valid until something is added.
  [[nodiscard]] std::span<const Slot> busy() const { return busy_; }
  [[nodiscard]] std::span<const Item> items(Slot slot) const {
    const Queue& queue = queues_[slot.value];
    return std::span(queue.items).subspan(queue.front);
  }
  [[nodiscard]] bool empty() const { return busy_.empty(); }

  /// Takes the first `count` away.
  void drop(Slot slot, std::size_t count) {
    Queue& queue = queues_[slot.value];
    queue.front += count;
    if (queue.front < queue.items.size() && queue.front * 2 < queue.items.size()) return;
    queue.items.erase(queue.items.begin(), queue.items.begin() + static_cast<std::ptrdiff_t>(queue.front));
    queue.front = 0;
  }
  /// Takes away what stands up to `through`, also when it is added later.
  void drop_through(Slot slot, Lsn through) {
    Queue& queue = at(slot);
    if (through > queue.through) queue.through = through;
    std::size_t count = 0;
    for (const auto waiting = items(slot); count < waiting.size() && waiting[count].position <= through;) ++count;
    drop(slot, count);
  }
  /// To be called after drops: busy() has no slot any more that nothing waits for.
  void tidy() {
    std::erase_if(busy_, [this](Slot slot) {
      Queue& queue = queues_[slot.value];
      queue.busy = queue.front < queue.items.size();
      return !queue.busy;
    });
  }
  void clear() {
    queues_.clear();
    busy_.clear();
  }

 private:
  struct Queue {
    std::vector<Item> items;
    std::size_t front = 0;  ///< Those before it are gone.
    Index last;
    Lsn through;
    bool known = false;
    bool busy = false;
  };
  Queue& at(Slot slot) {
    if (slot.value >= queues_.size()) queues_.resize(slot.value + 1);
    return queues_[slot.value];
  }
  void push(Slot slot, Queue& queue, const Item& item) {
    queue.items.push_back(item);
    if (!queue.busy) busy_.push_back(slot);
    queue.busy = true;
  }

  std::vector<Queue> queues_;  ///< By slot; a record's slot has two bytes.
  std::vector<Slot> busy_;
};

}  // namespace parley::storage
