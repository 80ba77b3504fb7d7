#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

namespace parley::storage {

class Files;
class ReadTransaction;

/// Finds what conversations have kept for long enough, or more of than they want. Belongs to one thread. Cost: a few
/// point reads in the mapped file a conversation.
class Retention {
 public:
  explicit Retention(std::shared_ptr<Files> files);
  ~Retention();

  struct Due {
    ConversationNumber number;
    std::string name;
    Seq oldest;  ///< What comes before it is to go.
  };
  struct Page {
    std::vector<Due> due;
    std::size_t looked = 0;   ///< At how many conversations.
    ConversationNumber next;  ///< Behind which to go on; 0: the slot has no more.
  };
  /// Looks at up to `count_max` conversations of the slot behind `after`. `age_max`: milliseconds that entries are kept
  /// for; 0: forever. A conversation's own settings may be narrower. A sixteenth more than that is kept, so that what
  /// goes is worth a record.
  Result<Page> find(Slot slot, ConversationNumber after, Timestamp now, std::uint64_t age_max, std::size_t count_max);

 private:
  struct Rule {
    std::uint64_t age = 0;
    std::uint64_t count = 0;
  };
  Result<Rule> rule_of(ConversationNumber number, std::uint64_t age_max);
  Result<Timestamp> time_of(ConversationNumber number, Seq seq);
  Result<Seq> first_since(ConversationNumber number, Seq first, Seq head, Timestamp time);

  std::shared_ptr<Files> files_;
  std::unique_ptr<ReadTransaction> store_;
};

/// Deletes the entries that retention has taken away, a batch a step. The materialiser has moved the conversation's
/// `oldest` before, so nobody sees them any more. Belongs to the materialiser's thread.
class Trim {
 public:
  explicit Trim(std::shared_ptr<Files> files);
  ~Trim();

  /// Something was taken away.
  void wanted() { wanted_ = true; }
  /// True at first, for what was left before a restart.
  [[nodiscard]] bool is_due() const { return wanted_; }
  /// How many rows are gone. Fails with Failed, DiskFull; may be tried again.
  Result<std::size_t> step(std::size_t rows_max);
  /// Conversations of which something is to be deleted still; 0 when that can't be read.
  [[nodiscard]] std::uint64_t pending() const;

 private:
  std::shared_ptr<Files> files_;
  std::unique_ptr<ReadTransaction> store_;
  bool wanted_ = true;
};

}  // namespace parley::storage
