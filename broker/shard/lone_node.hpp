#pragma once

#include "broker/shard/ports.hpp"

namespace parley::shard {

/// The other nodes of a standalone broker: none. Any thread.
class LoneNode final : public PeerNodes {
 public:
  [[nodiscard]] NodeId self() const override { return {1}; }
  [[nodiscard]] bool standalone() const override { return true; }
  bool send(NodeId /*node*/, NodeChannel /*channel*/, std::string /*message*/) override { return false; }
  void drop(NodeId /*node*/) override {}
  void leading(Slot /*slot*/, std::optional<Term> /*term*/) override {}
};

}  // namespace parley::shard
