#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "storage/format/record.hpp"

namespace parley::storage {

/// What a stretch of the log says about persistent sessions, one client at a time. Values view the log's bytes.
///
/// A cursor counts only while its session exists: the end of a session ends its cursors, and cursors of a session that
/// nobody has written are passed over.
struct SessionChange {
  bool ended = false;  ///< What was there before the stretch is gone.
  std::optional<std::string_view> session;
  std::map<std::string_view, std::string_view> cursors;  ///< By topic.
};

class SessionChanges {
 public:
  /// `bytes` is the encoded form of `record`. Other kinds are passed over.
  void take(const format::Record& record, std::string_view bytes) {
    if (const auto* session = std::get_if<format::SessionRecord>(&record.body)) {
      clients_[std::string(session->client_id)].session = bytes;
    } else if (const auto* cursor = std::get_if<format::CursorRecord>(&record.body)) {
      clients_[std::string(cursor->client_id)].cursors[cursor->topic] = bytes;
    } else if (const auto* end = std::get_if<format::SessionEndRecord>(&record.body)) {
      clients_[std::string(end->client_id)] = {.ended = true, .session = {}, .cursors = {}};
    }
  }
  [[nodiscard]] const std::map<std::string, SessionChange, std::less<>>& clients() const { return clients_; }
  [[nodiscard]] const SessionChange* find(std::string_view client_id) const {
    const auto found = clients_.find(client_id);
    return found == clients_.end() ? nullptr : &found->second;
  }
  void clear() { clients_.clear(); }

 private:
  std::map<std::string, SessionChange, std::less<>> clients_;
};

}  // namespace parley::storage
