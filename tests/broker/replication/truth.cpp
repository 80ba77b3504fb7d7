#include "tests/broker/replication/truth.hpp"

namespace parley::replication::simulation {

std::string name(NodeId node) { return "node " + std::to_string(node.value); }

void Truth::breach(std::string what) {
  if (breach_.empty()) breach_ = std::move(what);
}

void Truth::elected(NodeId node, Term term, const Log& log) {
  const auto [leader, first] = leaders_.try_emplace(term, node);
  if (!first) {
    breach("election safety: " + name(leader->second) + " and " + name(node) + " lead term " +
           std::to_string(term.value));
  }
  // By log matching the last one stands for all.
  Index last = commit();
  while (last > Index{} && committed_in_[last.value - 1] >= term) last = {last.value - 1};
  if (last <= log.base.index) return;
  if (log.term_at(last) != at(last).term) {
    breach("leader completeness: " + name(node) + " leads term " + std::to_string(term.value) +
           " without the committed entry " + std::to_string(last.value));
  }
}

void Truth::written(NodeId node, const Log& log, Index first) {
  for (Index i = first; i <= log.last(); i = i.next()) {
    const Entry& entry = log.at(i);
    const Term before = log.term_at({i.value - 1}).value_or(Term{});
    const auto [known, fresh] =
        entries_.try_emplace(key(i, entry.term), Known{.payload = entry.payload, .before = before});
    if (!fresh && (known->second.payload != entry.payload || known->second.before != before)) {
      breach("log matching: " + name(node) + " has another entry " + std::to_string(i.value) + " of term " +
             std::to_string(entry.term.value));
    }
    if (before > entry.term) breach("terms fall in the log of " + name(node));
  }
}

void Truth::forgotten(const Log& log, Index first) {
  for (Index i = first; i <= log.last(); i = i.next()) entries_.erase(key(i, log.at(i).term));
}

void Truth::committed(NodeId node, Term term, const Log& log, Index from, Index upto) {
  for (Index i = from; i <= upto; i = i.next()) {
    if (i <= log.base.index) continue;  // Came as a snapshot, which was compared then.
    if (i > log.last()) return breach(name(node) + " commits an entry that it doesn't have");
    const Entry& entry = log.at(i);
    if (i.value > committed_.size() + 1) return breach(name(node) + " commits behind a hole");
    if (i.value == committed_.size() + 1) {
      committed_.push_back(entry);
      committed_in_.push_back(term);
    }
    if (at(i).payload != entry.payload || at(i).term != entry.term) {
      return breach("state machine safety: " + name(node) + " commits another entry " + std::to_string(i.value));
    }
  }
}

void Truth::voted(NodeId node, std::uint64_t birth, Term term, NodeId candidate) {
  const auto [vote, first] = votes_.try_emplace({term, node, birth}, candidate);
  if (!first && vote->second != candidate) {
    breach(name(node) + " votes for two in term " + std::to_string(term.value));
  }
}

void Truth::check_acknowledged() {
  for (const auto& [index, payload] : acknowledged_) {
    if (index > committed_.size() || committed_[index - 1].payload != payload) {
      breach("acknowledged and lost: entry " + std::to_string(index));
    }
  }
}

}  // namespace parley::replication::simulation
