#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "broker/shard/events.hpp"
#include "broker/shard/feeds.hpp"

namespace parley::shard {

class Shard;

/// Pages of a conversation's history for clients that speak MQTT only: what is published to
/// {root}/{conversation}/history is answered entry by entry on the Response Topic. docs/PROTOCOL.md "History over
/// MQTT". Belongs to its shard's thread.
///
/// Memory: a page under way, of up to kPageMax entries and about kPageBytes; more than kRequestsMax at a time are
/// refused as Busy.
class HistoryRequests {
 public:
  static constexpr std::size_t kPageMax = 100;
  static constexpr std::size_t kPageBytes = 256 * 1024;
  static constexpr std::size_t kRequestsMax = 256;

  explicit HistoryRequests(Shard& shard) : shard_(shard) {}

  /// `payload` is the JSON object that `user` sent; `as_json`: its client sees no properties.
  void ask(const std::string& conversation, const std::string& user, std::string_view payload, bool as_json,
           Origin origin);

  /// False when the token stands for somebody else's page; see Feeds.
  bool read_here(std::uint64_t token);
  bool entries_read(std::uint64_t token, const Result<ReadPage>& page);

 private:
  struct Query {
    std::optional<Seq> before;
    std::optional<Seq> after;
    std::size_t limit = 50;
    bool json = false;
  };
  struct Request {
    Origin origin;
    Query query;
    FollowedEvent standing;
    Seq oldest;  ///< That this user may read.
    Seq first;   ///< What is read.
    Seq last;
  };
  static Result<Query> read_query(std::string_view payload);
  void begin(const Feed& feed, const Feeds::Access& access, Query query, Origin origin);
  void read(std::uint64_t token, const Request& request);
  void answer(const Request& request, const ReadPage& page);

  Shard& shard_;
  std::map<std::uint64_t, Request> requests_;  ///< By token.
  std::uint64_t next_ = 1;
};

}  // namespace parley::shard
