#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/chat/conversation.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/groups.hpp"

namespace parley::shard {

class Shard;
struct Hosted;

/// What is asked of a conversation that is led and loaded here: refused, answered from what was said before, or put
/// into its slot's log as entries. Belongs to its shard's thread. What becomes of the entries see Committing.
///
/// An outcome comes through Shard::send_outcome, perhaps before a function returns.
class Proposing {
 public:
  explicit Proposing(Shard& shard) : shard_(shard) {}

  void propose(Hosted& hosted, const chat::EntryDraft& draft, Origin origin);
  void propose(Hosted& hosted, ProposeEvent proposal);
  /// The message that an edit or redaction refers to was looked up; null: there is none.
  void amend(Hosted& hosted, ProposeEvent proposal, const format::EntryPtr& message);
  /// Appends, whoever may do what.
  void append_unasked(Hosted& hosted, const chat::EntryDraft& draft) { append(hosted, draft, Origin{}); }

  /// A conversation that isn't there: whether it appears when this user uses it.
  [[nodiscard]] bool may_create_by_use(const std::string& conversation, std::string_view user) const;
  /// Somebody follows it: creates it where that is enough.
  void create_for_followers(Hosted& hosted);

 private:
  void command(Hosted& hosted, const chat::EntryDraft& draft, const chat::Command& command, Origin origin);
  void found(Hosted& hosted, const chat::EntryDraft& draft, const chat::Command& command, Origin origin);
  /// Creates it for somebody's first use, where that is how it comes about.
  chat::Refusal create_by_use(Hosted& hosted, std::string_view user);
  /// True when the draft's id was used before: the outcome is told or will be.
  bool is_repeat(Hosted& hosted, const chat::EntryDraft& draft, Origin& origin);
  void append(Hosted& hosted, const chat::EntryDraft& draft, Origin origin);
  void append(Hosted& hosted, const chat::EntryDraft& draft, std::vector<Groups::Change> changes, Origin origin);
  /// False when it can't be proposed now.
  bool create(Hosted& hosted, std::string_view creator, const chat::Creation& creation, Origin origin);

  Shard& shard_;
};

}  // namespace parley::shard
