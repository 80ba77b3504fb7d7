#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/chat/access.hpp"
#include "broker/chat/command.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {

class Shard;
struct Hosted;

/// Members of the conversations that are hosted here: who may do what, what commands come to, and that the users' slots
/// get to know of it. Belongs to its shard's thread.
///
/// A member is looked up, never walked to: in what isn't materialised yet (chat::Group), else by a point read in the
/// store. A change of membership is told to the user's slot once its entry is committed, and again from table `unfed`
/// until that has committed it, so that none is forgotten.
class Groups {
 public:
  explicit Groups(Shard& shard) : shard_(shard) {}

  /// As things stand at `upto`: the tip for what is to be appended, the head for what is to be read. The role is looked
  /// up only where something depends on it.
  [[nodiscard]] chat::AccessRequest request(const Hosted& hosted, std::string_view user, Seq upto) const;
  [[nodiscard]] std::optional<format::MemberRow> find(const Hosted& hosted, std::string_view user, Seq upto) const;
  [[nodiscard]] AccessedEvent access(const Hosted& hosted, const AccessEvent& asked) const;

  /// An entry to be appended.
  struct Change {
    format::EntryKind kind = format::EntryKind::Member;
    std::string payload;
  };
  /// Reads a command's JSON object. Fails with InvalidPayload, or as chat::read_command.
  static Result<chat::Command> read(std::string_view payload);
  /// Entries for a conversation that was just created for `actor` by a command.
  static std::vector<Change> founding(const chat::Creation& creation, std::string_view actor);
  /// What `command` comes to, with everything that was proposed; empty: it is so already. Fails with a chat::Refusal.
  Result<std::vector<Change>> decide(const Hosted& hosted, const chat::Command& command, std::string_view actor) const;
  /// Answers `info`, with committed things only, once it is known who of the members is online.
  void answer_info(const Hosted& hosted, const chat::Command& command, const std::string& actor, Origin origin);

  /// Members behind `after`, in the order of their names; committed things only.
  struct Page {
    std::vector<StoredMember> members;
    bool more = false;
  };
  [[nodiscard]] Page page(const Hosted& hosted, std::string_view after, std::size_t limit) const;

  /// A member entry is committed.
  void committed(const Hosted& hosted, const format::EntryRecord& entry);
  /// A conversation is created; the users of a direct one are told.
  void created(const Hosted& hosted);
  void take(MembershipEvent& event);
  void taken(const MembershipTakenEvent& event);
  /// Tells again what may not have been heard. Once in a while, and when the shard begins to lead a slot.
  void sweep();
  void sweep(Slot slot);

 private:
  void tell(const Hosted& hosted, std::string_view user, bool present, Seq changed);
  using Online = std::set<std::string>;
  /// Empty when the user may not know. See Outcome::detail.
  [[nodiscard]] std::string info(const Hosted& hosted, const chat::Command& command, std::string_view actor,
                                 const Online& online) const;
  /// `online`: null where the actor may not see that.
  void append_members(const Hosted& hosted, const chat::Command& command, const Online* online, std::string& to) const;
  void append_member(const Hosted& hosted, std::string_view user, const std::optional<format::MemberRow>& member,
                     const Online* online, std::string& to) const;
  [[nodiscard]] Seq visible_from(const Hosted& hosted, std::string_view user) const;

  Shard& shard_;
};

}  // namespace parley::shard
