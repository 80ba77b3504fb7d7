#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/number.hpp"
#include "base/result.hpp"

/// A log of which not everything is as it was written, and what a node of several can do about it: what the store has
/// is right, and what it hasn't the other replicas have.
namespace parley::storage {

class Files;

struct LogDamage {
  bool readable = true;   ///< Records are damaged, or missing; false: LMDB doesn't find its way through the file.
  std::string what;       ///< Such as "lsn 17: a record is damaged".
  bool in_store = false;  ///< Known: what the store hasn't is sound.
};

/// Looks at the hard states, and at every record that the store hasn't, for a wrong checksum and for holes; says what
/// it finds first. O(such records).
std::optional<LogDamage> find_damage_behind_store(Files& files);
/// The same for the records that the store has. Sees 10,000 records at a time, and keeps no page in between.
std::optional<LogDamage> find_damage_before_store(Files& files);

/// Whether whatever was acknowledged is with others, and they can go on without this node's vote: each slot that `self`
/// has something of and is a voter of has, and had with every change under way, at least three voters. O(slots +
/// unmaterialised records). Fails as find_slot_states.
Result<bool> others_have_the_log(Files& files, NodeId self);

/// Takes every record out of the log, which goes on behind the store. The slots' terms rise by one, without a vote, and
/// their hard states say from then on what was lost before, and where that had ended (replication::SlotState). For the
/// broker, before anybody else reads or writes. All of it or nothing is there after a crash. Fails as find_hard_states.
Result<void> begin_log_anew(Files& files);

/// Takes every record that the store has out of the log, with whatever is wrong with them: nothing that this node has
/// promised is lost, since the rest and the hard states stay. For the broker, before anybody else reads or writes. In
/// steps, each of which leaves a log that is whole; to be repeated after a crash.
Result<void> cut_log_to_store(Files& files);

// -- As a line of text, without its end; but for `in_store` --
std::string to_line(const LogDamage& damage);
/// Nothing when it says nothing of damage.
std::optional<LogDamage> read_damage(std::string_view line);

// -- Over a restart --
/// Durable: at its next start the node shall do something about it. Fails with DiskFull, ReadOnly, Failed.
Result<void> note_damage(const std::string& directory, const LogDamage& damage);
/// What was noted in the storage directory.
std::optional<LogDamage> noted_damage(const std::string& directory);
void forget_damage(const std::string& directory);

}  // namespace parley::storage
