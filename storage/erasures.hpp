#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "storage/format/record.hpp"

namespace parley::storage {

class Files;
class ReadTransaction;
class WriteTransaction;

/// Key of table `erasures`: a slot, and a user that is erased in it.
std::string erasure_key(Slot slot, std::string_view user);

/// How far the erasure of a user is in one slot; the values of a format::ErasureRecord.
struct StoredErasure {
  Slot slot;
  std::string user;
  Timestamp started;
  format::ErasureState state = format::ErasureState::Open;
  ConversationNumber conversation;  ///< What comes before this one …
  Seq seq;                          ///< … and in it before this entry is done.
  std::uint64_t redacted = 0;
};

/// What a stretch of the log says of erasures. Values view the log's bytes. Format: docs/formats/store.md "Erasures".
///
/// Writing it twice changes nothing: of two records the one of the later erasure counts, then the one that is further.
class ErasureChanges {
 public:
  /// Other kinds are passed over.
  void take(const format::Record& record);
  void clear();
  /// After the stretch's other records were written: it takes away what they have put in. Fails with Failed, DiskFull.
  Result<void> write(WriteTransaction& store) const;

 private:
  Result<void> write_left(WriteTransaction& store) const;

  std::map<std::pair<Slot, std::string_view>, format::ErasureRecord> changes_;
  std::vector<std::pair<Slot, format::UserConversationRecord>> left_;  ///< Conversations that users have left.
};

/// Finds what there is of a user that is to be erased. Of what is materialised: an erasure begins once its own record
/// is, and then everything before it is, too. Belongs to one thread; each has its own.
class Erasures {
 public:
  explicit Erasures(std::shared_ptr<Files> files);
  ~Erasures();

  /// All that are remembered in the slot, or (nothing) in all slots. Cost: a look where there are none.
  Result<std::vector<StoredErasure>> list(std::optional<Slot> slot);

  struct Request {
    Slot slot;
    std::string user;
    ConversationNumber conversation;  ///< Where to go on; 0: at the slot's beginning.
    Seq seq;
    std::size_t rows_max = 0;      ///< To be looked at.
    std::size_t messages_max = 0;  ///< To be found.
  };
  /// Of a conversation what is the user's.
  struct Found {
    ConversationNumber number;
    std::string name;
    bool is_member = false;
    std::vector<Seq> messages;  ///< Those that aren't redacted.
  };
  struct Page {
    std::vector<Found> found;
    ConversationNumber conversation;  ///< Where to go on; 0: there is no more.
    Seq seq;
  };
  Result<Page> find(const Request& request);

  struct Sessions {
    std::vector<std::string> client_ids;
    std::string next;  ///< Where to go on; empty: there is no more.
  };
  /// Sessions of the user, of all slots: looks at up to `rows_max` from `from` on.
  Result<Sessions> sessions(std::string_view user, const std::string& from, std::size_t rows_max);

 private:
  Result<bool> find_in(const Request& request, Found& found, Seq oldest, Page& page, std::size_t& looked);

  std::shared_ptr<Files> files_;
  std::unique_ptr<ReadTransaction> store_;
};

}  // namespace parley::storage
