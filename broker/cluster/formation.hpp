#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/time.hpp"
#include "broker/cluster/node.hpp"

/// How a cluster begins: one node, and one only, forms it; the others join. Pure. What stands in Redis:
/// docs/formats/redis.md.
namespace parley::cluster {

/// That a cluster of this name exists.
struct FormationRecord {
  std::uint64_t cluster_id = 0;  ///< Random, not 0.
  std::uint32_t slots = 0;
  friend bool operator==(const FormationRecord&, const FormationRecord&) = default;
};
std::string encode(const FormationRecord& record);
/// Nothing unless it is whole.
std::optional<FormationRecord> read_formation(std::string_view text);

/// What a node that belongs to no cluster yet does about it. Reads of Redis go in, the next step comes out.
///
/// A node forms the cluster when, for two lease times, Redis has shown neither a formation nor anybody's lease: nodes
/// that are alive put both back within that time when Redis has lost them. The formation is put by compare-and-set, so
/// of two nodes that begin together one forms and the other joins.
class Formation {
 public:
  /// `own`: what this node would write.
  Formation(FormationRecord own, Duration lease_time) : own_(std::move(own)), lease_time_(lease_time) {}

  /// What Redis has shown at one time; nothing when it couldn't be asked.
  struct Sight {
    std::string formation;     ///< Empty: there is none.
    bool others_live = false;  ///< Another node has a lease.
  };
  struct Wait {};
  /// Write the record unless there is one now, and look again.
  struct Form {
    FormationRecord record;
  };
  struct Join {
    FormationRecord record;
  };
  /// The record is this node's own: it has formed the cluster.
  struct Formed {
    FormationRecord record;
  };
  struct Refuse {
    std::string sentence;
  };
  using Step = std::variant<Wait, Form, Join, Formed, Refuse>;
  Step next(const std::optional<Sight>& sight, Instant now);

 private:
  FormationRecord own_;
  Duration lease_time_;
  std::optional<Instant> quiet_since_;
};

}  // namespace parley::cluster
