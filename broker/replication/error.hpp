#pragma once

#include <boost/system/error_code.hpp>

namespace parley::replication {

enum class ReplicationError {
  NotLeader = 1,     ///< Slot::leader() says who is, if anybody is known to be.
  NoMajority,        ///< The leader doesn't hear enough of its voters: what it took now might never commit. Passes.
  Transferring,      ///< Leadership is being handed over; the next leader takes it. Passes within an election timeout.
  ChangeUnderWay,    ///< An earlier replica change isn't committed, or this leader has committed nothing yet. Passes.
  NoSuchReplica,     ///< The node isn't what the change or transfer needs it to be.
  AlreadyReplica,    ///< It is one already.
  ReplicaBehind,     ///< It would hold up the slot as a voter or leader; passes once it has caught up.
  LastVoter,         ///< Nobody would be left to vote.
  TooManyReplicas,   ///< More than kReplicasMax.
  MalformedMessage,  ///< Bytes that no peer of this protocol writes.
  NewerProtocol,     ///< A message of a version that isn't known here.
};

const boost::system::error_category& replication_category();
inline boost::system::error_code make_error_code(ReplicationError error) {
  return {static_cast<int>(error), replication_category()};
}

}  // namespace parley::replication

template <>
struct boost::system::is_error_code_enum<parley::replication::ReplicationError> : std::true_type {};
