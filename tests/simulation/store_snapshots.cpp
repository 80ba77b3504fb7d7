#include <algorithm>
#include <charconv>
#include <utility>

#include "base/varint.hpp"
#include "tests/simulation/store.hpp"

/// The part of the store that lets logs be cut, and gives and takes what they don't have any more. A piece is some
/// records, a position the index of the next one, and what is known the index up to which nothing is lacking.
namespace parley::simulation {

using shard::LogStoreEvents;
using shard::ShardId;

namespace {

std::uint64_t number_of(const std::string& text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

/// Up to where the slot's records are in the store.
Index Store::materialised(const SlotLog& log) const {
  std::uint64_t index = log.base.value;
  while (index < log.applied.value && log.records[index].lsn <= materialised_) ++index;
  return {index};
}

void Store::cut_logs() {
  for (auto& [slot, log] : slots_) {
    const Index last = materialised(log);
    if (last > log.base) log.base = {log.base.value + dice_.below(last.value - log.base.value + 1)};
  }
}

void Store::read_snapshot(ShardId shard, SnapshotReadRequest request) {
  answer(shard, false, [this, request = std::move(request)](LogStoreEvents& events) {
    if (reads_fail_) return events.snapshot_read(request.token, StorageError::Failed);
    if (materialised(slots_[request.slot]) == Index{0}) {
      return events.snapshot_read(request.token, StorageError::NotFound);
    }
    events.snapshot_read(request.token, read_piece(request));
  });
}

shard::SnapshotPiece Store::read_piece(const SnapshotReadRequest& request) {
  const SlotLog& log = slots_[request.slot];
  const Index last = materialised(log);
  shard::SnapshotPiece piece{.at = {.term = log.records[last.value - 1].term, .index = last}, .bytes = {}, .next = {}};
  std::uint64_t index = std::max({number_of(request.position), number_of(request.known) + 1, std::uint64_t{1}});
  for (std::uint64_t count = 1 + dice_.below(5); count > 0 && index <= last.value; --count, ++index) {
    append_varint(piece.bytes, index);
    append_varint(piece.bytes, log.records[index - 1].bytes->size());
    piece.bytes += *log.records[index - 1].bytes;
  }
  if (index <= last.value) piece.next = std::to_string(index);
  return piece;
}

void Store::take_snapshot(ShardId shard, SnapshotTakeRequest request) {
  answer(shard, false, [this, request = std::move(request)](LogStoreEvents& events) {
    if (failure_) return events.snapshot_taken(request.token, *failure_);
    events.snapshot_taken(request.token, take_piece(request));
  });
}

std::string Store::take_piece(const SnapshotTakeRequest& request) {
  SlotLog& log = slots_[request.slot];
  for (std::string_view rest = request.piece; !rest.empty();) {
    const std::uint64_t index = *take_varint(rest);
    const std::uint64_t size = *take_varint(rest);
    log.taken[{index}] = std::make_shared<const std::string>(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  Index known = log.commit;
  while (log.taken.contains(known.next())) known = known.next();
  return std::to_string(known.value);
}

void Store::finish_snapshot(ShardId shard, SnapshotFinishRequest request) {
  // It may be done long before it is said to be.
  const bool at_once = dice_.one_in(2) && finish_log(request);
  answer(shard, false, [this, shard, request = std::move(request), at_once](LogStoreEvents& events) {
    if (!at_once && !finish_log(request)) return finish_snapshot(shard, request);
    events.snapshot_finished(request.token);
  });
}

bool Store::finish_log(const SnapshotFinishRequest& request) {
  if (failure_) return false;
  SlotLog& log = slots_[request.slot];
  const auto on_its_way = [&](const Waiting& one) {
    return std::ranges::any_of(one.batch.records, [&](const auto& record) {
      return format::decode_trusted_position(*record)->slot == request.slot;
    });
  };
  if (std::ranges::any_of(waiting_, on_its_way)) violation("a log ends while records are on their way to it");
  if (request.base.index <= log.commit) violation("a log begins anew before what is committed");
  log.records.resize(log.commit.value);
  for (Index index = log.commit.next(); index <= request.base.index; index = index.next()) {
    const auto found = log.taken.find(index);
    if (found == log.taken.end()) {
      violation("a slot's history lacks something");
      return true;
    }
    log.records.push_back(
        {.lsn = {}, .term = format::decode_trusted_position(*found->second)->term, .bytes = found->second});
  }
  if (log.records.back().term != request.base.term) violation("a log begins behind another term than was said");
  log.base = log.commit = request.base.index;
  log.taken.clear();
  ++snapshots_;
  apply(request.slot, log);
  return true;
}

}  // namespace parley::simulation
