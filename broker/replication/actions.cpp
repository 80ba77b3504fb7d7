#include "broker/replication/actions.hpp"

namespace parley::replication {

PeerMessage part_of(const SendAppend& whole, Index first, Index last) {
  AppendEntries part = whole.message;
  if (first != whole.first) part.prev = {whole.message.entries_term, {first.value - 1}};
  part.count = last.value - first.value + 1;
  return {.slot = whole.slot, .term = whole.term, .body = std::move(part)};
}

}  // namespace parley::replication
