#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/broker/replication/disk.hpp"

namespace parley::replication::simulation {

/// What must hold of one slot over all its replicas, whatever happens: the properties of Raft figure 3, noted as the
/// simulation goes. Finds the first breach; the rest follows from it.
class Truth {
 public:
  /// Election safety, and leader completeness: its log has everything that was committed in earlier terms.
  void elected(NodeId node, Term term, const Log& log);
  /// Log matching: an entry of this place and term is the same everywhere, and so is what precedes it.
  void written(NodeId node, const Log& log, Index first);
  /// A leader's entries from `first` on, which its disk refused before anybody had them: their places are free again.
  void forgotten(const Log& log, Index first);
  /// State machine safety: committed once, for ever.
  void committed(NodeId node, Term term, const Log& log, Index from, Index upto);
  /// One vote in a term, of what has one directory.
  void voted(NodeId node, std::uint64_t birth, Term term, NodeId candidate);
  /// What this node's leader told a client.
  void acknowledged(Index index, std::uint64_t payload) { acknowledged_[index.value] = payload; }
  void breach(std::string what);

  /// Everything acknowledged is in the committed log, at its place.
  void check_acknowledged();
  [[nodiscard]] Index commit() const { return {committed_.size()}; }
  [[nodiscard]] const Entry& at(Index index) const { return committed_.at(index.value - 1); }
  [[nodiscard]] const std::string& breach() const { return breach_; }  ///< Empty: none.

 private:
  struct Known {
    std::uint64_t payload = 0;
    Term before;
  };
  static std::uint64_t key(Index index, Term term) { return index.value << 20 | term.value; }

  std::map<Term, NodeId> leaders_;
  std::map<std::tuple<Term, NodeId, std::uint64_t>, NodeId> votes_;
  std::unordered_map<std::uint64_t, Known> entries_;  ///< By place, see key().
  std::vector<Entry> committed_;
  std::vector<Term> committed_in_;  ///< The term of the node that said so first.
  std::map<std::uint64_t, std::uint64_t> acknowledged_;
  std::string breach_;
};

/// For messages: "node 3".
std::string name(NodeId node);

}  // namespace parley::replication::simulation
