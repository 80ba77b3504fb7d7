#include "storage/log_places.hpp"

#include <algorithm>

#include "storage/format/record.hpp"

namespace parley::storage {

void LogPlaces::add(std::span<const std::string_view> records, Lsn first) {
  const std::lock_guard lock(mutex_);
  for (const std::string_view record : records) {
    if (const auto place = format::decode_trusted_position(record)) add_locked(place->slot, place->index, first);
    first = first.next();
  }
}

void LogPlaces::add(Slot slot, Index index, Lsn position) {
  const std::lock_guard lock(mutex_);
  add_locked(slot, index, position);
}

void LogPlaces::add_locked(Slot slot, Index index, Lsn position) {
  Places& places = slots_[slot];
  if (places.positions.empty() || index < places.first || index.value > places.first.value + places.positions.size()) {
    places.positions.clear();
    places.first = index;
  }
  places.positions.resize(index.value - places.first.value);
  places.positions.push_back(position);
}

void LogPlaces::drop(Slot slot, Index index) {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(slot);
  if (found == slots_.end() || index < found->second.first) return;
  Places& places = found->second;
  const std::size_t count = std::min(places.positions.size(), index.value - places.first.value + 1);
  places.positions.erase(places.positions.begin(), places.positions.begin() + static_cast<std::ptrdiff_t>(count));
  places.first.value += count;
  if (places.positions.empty()) slots_.erase(found);
}

std::vector<Lsn> LogPlaces::find(Slot slot, Index first, Index last, std::size_t count) const {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(slot);
  if (found == slots_.end() || first < found->second.first) return {};
  const Places& places = found->second;
  std::vector<Lsn> result;
  for (Index index = first; index <= last && result.size() < count; index = index.next()) {
    const std::size_t at = index.value - places.first.value;
    if (at >= places.positions.size()) break;
    result.push_back(places.positions[at]);
  }
  return result;
}

}  // namespace parley::storage
