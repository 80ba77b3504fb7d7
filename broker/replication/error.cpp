#include "broker/replication/error.hpp"

#include <string>

namespace parley::replication {
namespace {

class ReplicationCategory final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "replication"; }
  std::string message(int value) const override {
    switch (static_cast<ReplicationError>(value)) {
      case ReplicationError::NotLeader: return "another node leads the slot";
      case ReplicationError::NoMajority: return "too few of the slot's replicas answer";
      case ReplicationError::Transferring: return "the slot's leadership is being handed over";
      case ReplicationError::ChangeUnderWay: return "another change of the slot's replicas isn't finished";
      case ReplicationError::NoSuchReplica: return "the node is no such replica of the slot";
      case ReplicationError::AlreadyReplica: return "the node is a replica of the slot already";
      case ReplicationError::ReplicaBehind: return "the replica hasn't caught up yet";
      case ReplicationError::LastVoter: return "the slot would have no voter left";
      case ReplicationError::TooManyReplicas: return "the slot has as many replicas as it may have";
      case ReplicationError::MalformedMessage: return "a peer sent a malformed message";
      case ReplicationError::NewerProtocol: return "a peer sent a message of a newer protocol";
    }
    return "unknown replication error";
  }
};

}  // namespace

const boost::system::error_category& replication_category() {
  static const ReplicationCategory category;
  return category;
}

}  // namespace parley::replication
