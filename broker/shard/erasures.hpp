#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/node_events.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

class Shard;
struct Hosted;

/// Erases users: their messages in all conversations, their membership, marks and sessions. A rare job, so nothing is
/// kept about a user for its sake: it looks through everything there is, a little at a time. Belongs to its shard's
/// thread. docs/PROTOCOL.md "Erasing a user", docs/formats/store.md "Erasures".
///
/// Each slot does its own part and remembers in its log how far it is, so a crash or another leader makes it go on from
/// there. The leader of the user's slot asks all slots until each has said that it is done. A part begins when its
/// record is materialised: then everything before it is, too, and what is read of the store is all there is. A place is
/// left behind only when the store shows that nothing is left there, so a redaction that was lost is made again.
class Erasures {
 public:
  explicit Erasures(Shard& shard) : shard_(shard) {}

  /// With the shard's first turn.
  void start() { start_timer(std::chrono::seconds(1)); }
  /// An operator wants it, of this shard's home. Nothing is promised until the slot's row is there.
  void begin(const std::string& user);

  void asked(const ErasureAskEvent& event);
  void answered(const ErasureAnswerEvent& event);
  /// Of Purpose::Erase: to be appended, whoever may do what.
  void take(Hosted& hosted, const ProposeEvent& proposal);

  // -- As other nodes hear and say it --
  static ErasureAskEvent event_of(const remote::ErasureAsk& event);
  static ErasureAnswerEvent event_of(const remote::ErasureAnswer& event);

  // -- LogStoreEvents --
  void found(std::uint64_t token, const Result<ErasurePage>& page);
  void sessions_found(std::uint64_t token, const Result<ErasureSessions>& sessions);

  void run_timer();

 private:
  using Place = std::pair<Slot, std::string>;  ///< A user in one slot.
  /// A slot's part under way.
  struct Run {
    Timestamp started;
    ConversationNumber conversation;  ///< Where it goes on.
    Seq seq;
    std::uint64_t redacted = 0;
    Instant due;        ///< For the next step.
    Instant recorded;   ///< When the place was last written down.
    bool done = false;  ///< So it is written down; the store doesn't show it yet.
  };
  /// Of a user in this shard: sessions are looked through for all slots at once.
  struct Sweep {
    Timestamp started;
    std::set<Slot> slots;  ///< That were led here when it began.
    std::string next;
    bool found = false;  ///< Something, so that another one has to follow.
    bool over = false;
    Instant due;
  };
  /// What the leader of the user's slot knows of the others.
  struct Job {
    Timestamp started;
    std::map<Slot, std::uint64_t> done;  ///< With the number of messages that were redacted.
    Instant asked;
    bool finished = false;  ///< So it is written down.
  };

  void start_timer(Duration after);
  void look();
  void look(Slot slot, std::set<Place>& open);
  void step();
  /// False: there is nothing to do about the user's sessions now, and the slot's turn may come.
  bool sweep(const Place& place, const Run& run);
  void disconnect(const std::string& user);
  void end_session(const std::string& client_id, const std::string& user);
  void erase(const Place& place, const ErasurePage& page);
  void record(const Place& place, Run& run, format::ErasureState state);
  void lead(const StoredErasure& row);
  void finish(const StoredErasure& row, Job& job);
  void append(Slot slot, const StoredErasure& row, std::function<void(Result<void>)> done);
  void leave(Hosted& hosted, const std::string& user);
  void answer(const ErasureAskEvent& event, const StoredErasure& row);
  [[nodiscard]] std::optional<StoredErasure> find(Slot slot, const std::string& user) const;

  Shard& shard_;
  std::map<Place, Run> runs_;
  std::map<std::string, Sweep> sweeps_;
  std::map<std::string, Job> jobs_;
  std::map<Place, Instant> begun_;  ///< Parts whose record is on its way.
  Place last_;                      ///< That had its turn.
  std::uint64_t token_ = 0;         ///< Of the read that is under way; 0: none.
  std::uint64_t next_token_ = 1;
  Instant looked_;
  bool timer_ = false;
};

}  // namespace parley::shard
