#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/record.hpp"

namespace parley::storage {

class WriteTransaction;

/// What a stretch of the log says about members, settings and users' conversations, in its order. Values view the log's
/// bytes. Format: docs/formats/store.md.
///
/// Writing it twice changes nothing: a conversation's row says which of its entries are in there.
class MemberChanges {
 public:
  /// Other kinds are passed over.
  void take(const format::Record& record);
  void clear();
  /// After the stretch's conversations were created. Fails with Failed, DiskFull.
  Result<void> write(WriteTransaction& store) const;

 private:
  Result<void> write_entries(WriteTransaction& store) const;
  Result<void> write_users(WriteTransaction& store) const;
  Result<void> write_fed(WriteTransaction& store) const;

  Result<void> write_direct(WriteTransaction& store) const;

  struct Direct {
    ConversationNumber number;
    format::DirectUsers users;
  };
  std::vector<Direct> direct_;  ///< Direct conversations that were created.
  std::vector<format::EntryRecord> entries_;
  std::vector<format::UserConversationRecord> users_;
  std::vector<format::FedRecord> fed_;
};

}  // namespace parley::storage
