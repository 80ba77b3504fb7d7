#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "broker/chat/command.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {

class Shard;
struct Hosted;

/// Edits and redactions in the conversations that are hosted here. The message that one refers to is read from the
/// history, so that messages cost nothing here; what was proposed meanwhile, chat::Conversation knows. Belongs to its
/// shard's thread. Memory: of commands under way, up to a limit.
class Amendments {
 public:
  explicit Amendments(Shard& shard) : shard_(shard) {}

  /// Refuses, or looks the message up; then Hosting::amend() is called with it.
  void look_up(Hosted& hosted, const chat::EntryDraft& draft, const chat::Command& command, Origin origin);
  /// True when the token was given here.
  bool entries_read(std::uint64_t token, const Result<ReadPage>& page);

  /// An entry to be appended.
  struct Amendment {
    format::EntryKind kind = format::EntryKind::Edit;
    Seq ref;
    std::string properties;
    std::string payload;
  };
  /// What the command in `draft` comes to; nothing: it is so already. `message`: null when there is none. Fails with a
  /// chat::Refusal.
  Result<std::optional<Amendment>> decide(const Hosted& hosted, const chat::EntryDraft& draft,
                                          const format::EntryPtr& message) const;

 private:
  static std::string properties_of(const chat::Command& command, const format::EntryRecord& message);

  Shard& shard_;
  std::unordered_map<std::uint64_t, ProposeEvent> looked_up_;
  std::uint64_t next_ = 1;
};

}  // namespace parley::shard
