#pragma once

#include "base/number.hpp"
#include "bridge/page.hpp"

/// What a user may read of a conversation, and until when that is known.
namespace parley::bridge {

/// A conversation as it was at some moment: whatever has come since is behind `head`.
struct Place {
  ConversationNumber conversation;
  Epoch epoch;
  Seq head;
};

/// The seqs that a user may read, both in it.
struct Visible {
  Seq from{1};
  Seq upto = kNoCeiling;  ///< Nobody has asked about what is behind it.
};

/// The broker's yes to reading a conversation. What it says of entries up to the place's head holds for good; a later
/// one may have taken it back.
struct Right {
  Seq visible_from{1};
  Place place;
  [[nodiscard]] Visible visible() const { return {.from = visible_from, .upto = place.head}; }
};

}  // namespace parley::bridge
