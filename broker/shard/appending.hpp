#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/number.hpp"
#include "base/result.hpp"
#include "broker/shard/node_events.hpp"
#include "storage/format/record.hpp"

namespace parley::shard {

class Shard;

/// Records of the slots whose home is this shard, on their way to the log, here or where the slot is led. Belongs to
/// its shard's thread. Entries and the creation of conversations don't come this way: see Hosting.
class Appending {
 public:
  using Done = std::function<void(Result<void>)>;

  explicit Appending(Shard& shard) : shard_(shard) {}

  /// The largest record that every other node takes; of a standalone broker there is no limit.
  [[nodiscard]] std::size_t record_max() const;
  /// `generation`: of a session's record, in which this node has the session. `done` (if any) is called once it is
  /// committed or refused; as NotAuthorized when another node has the session, as TooLarge when that is above
  /// record_max().
  void append(Slot slot, const format::RecordBody& body, std::uint64_t generation, Done done);
  /// The same of a slot led here, whoever writes; false (and `done` as it was): it isn't.
  bool append_here(Slot slot, const format::RecordBody& body, Done& done);

 private:
  void append_checked(Slot slot, std::string record, std::uint64_t generation, remote::Status status, Done done);
  Done telling(const format::UserConversationRecord& record, Done done);

  Shard& shard_;
};

}  // namespace parley::shard
