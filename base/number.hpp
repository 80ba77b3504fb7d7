#pragma once

#include <compare>
#include <cstdint>
#include <functional>

/// Identities and positions as types, so that two of them can't be swapped unnoticed.
namespace parley {

template <class Tag>
struct Number {
  std::uint64_t value = 0;

  friend constexpr auto operator<=>(const Number&, const Number&) = default;
  constexpr Number next() const { return {value + 1}; }
};

using Seq = Number<struct SeqTag>;      ///< Position in a conversation: 1, 2, 3, … dense. 0 is before the first.
using Lsn = Number<struct LsnTag>;      ///< Position in this node's log.mdb: 1, 2, 3, …
using Term = Number<struct TermTag>;    ///< Leadership number of a slot. Raft §5.1.
using Index = Number<struct IndexTag>;  ///< Position in a slot's replicated log. Raft §5.3.
using Slot = Number<struct SlotTag>;    ///< 0 … slots-1: the unit of leadership and placement.
using NodeId = Number<struct NodeTag>;  ///< One parleyd with its data directory; 0: none.
using Epoch = Number<struct EpochTag>;  ///< A conversation's incarnation; random, never 0.

/// Names a conversation inside records: (slot << 48) | index of the record that created it. Equal on every replica.
using ConversationNumber = Number<struct ConversationTag>;

constexpr ConversationNumber conversation_number(Slot slot, Index created_at) {
  return {(slot.value << 48) | (created_at.value & 0xFFFF'FFFF'FFFFULL)};
}
constexpr Slot slot_of(ConversationNumber conversation) { return {conversation.value >> 48}; }

}  // namespace parley

template <class Tag>
struct std::hash<parley::Number<Tag>> {
  std::size_t operator()(parley::Number<Tag> number) const noexcept {
    return static_cast<std::size_t>(number.value * 0x9E37'79B9'7F4A'7C15ULL);
  }
};
