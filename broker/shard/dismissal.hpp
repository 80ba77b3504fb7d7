#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hpp"

namespace parley::shard {

class Shard;

/// Sends the clients of a node that leaves to others: DISCONNECT with Use another server, so many a second, and a
/// Server Reference where there is one (MQTT 5 §4.13, §3.14.2.2.5). Belongs to its shard's thread.
class Dismissal {
 public:
  explicit Dismissal(Shard& shard) : shard_(shard) {}

  /// New clients are told to go elsewhere. `references`: the other nodes' addresses, may be empty.
  void refuse_new(std::vector<std::string> references);
  /// Those that are there go, too.
  void begin();
  /// Everybody is welcome again.
  void end();

  [[nodiscard]] bool refuses() const { return refuses_; }
  [[nodiscard]] bool dismisses() const { return dismisses_; }
  /// The next Server Reference, encoded; empty when there is none.
  std::string next_reference();
  void run_timer();

 private:
  void run_again();

  Shard& shard_;
  bool refuses_ = false;
  bool dismisses_ = false;
  bool timer_is_set_ = false;
  std::vector<std::string> references_;
  std::size_t next_reference_ = 0;
  std::uint32_t next_place_ = 0;
  Instant last_run_;
  double allowance_ = 0;  ///< Clients that may go now.
};

}  // namespace parley::shard
