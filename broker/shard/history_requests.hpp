#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/shard/events.hpp"
#include "broker/shard/feeds.hpp"

namespace parley::shard {

class Shard;
struct PageEnd;

/// Pages of a conversation's history for clients that speak MQTT only: what is published to
/// {root}/{conversation}/history is answered entry by entry on the Response Topic. docs/PROTOCOL.md "History over
/// MQTT". Belongs to its shard's thread.
///
/// A page is sent in pieces, as the client takes them: it uses the client's window and never its queue, where answers
/// and ordinary messages find room. A client's pages come one after the other, and the acknowledgement of a request
/// behind its page. All of it ends with the connection.
///
/// Memory: of each connection one page under way, of up to kPageMax entries and about kPageBytes. More than kPagesMax
/// of them, or kOfClientMax requests of one connection, are refused as Busy; but a page that has stood still for
/// kPatience makes room for another one, and is refused then.
class HistoryRequests {
 public:
  static constexpr std::size_t kPageMax = 100;
  static constexpr std::size_t kPageBytes = 256 * 1024;
  static constexpr std::size_t kPagesMax = 256;
  static constexpr std::size_t kOfClientMax = 32;
  static constexpr Duration kPatience = std::chrono::seconds(10);

  explicit HistoryRequests(Shard& shard) : shard_(shard) {}

  /// `payload` is the JSON object that `user` sent; `as_json`: its client sees no properties.
  void ask(const std::string& conversation, const std::string& user, std::string_view payload, bool as_json,
           Origin origin);

  /// Its page is first in using what room there is, every other time.
  bool take_turn(const Client& client);
  /// There may be room for more of its page.
  void go_on(Client& client);
  /// The connection has gone.
  void detach(const Client& client);

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
    std::string conversation;
    std::string user;
    Query query;
  };
  /// What is read and sent for the request that is first in a line.
  struct Page {
    FollowedEvent standing;
    Seq oldest;  ///< That this user may read.
    Seq first;   ///< What is read.
    Seq last;
    Seq next;  ///< To be sent: an entry, or that it isn't there any more.
    std::vector<format::EntryPtr> entries;
    std::size_t used = 0;  ///< Of these.
    std::size_t sent = 0;
    bool is_here = false;
  };
  /// The requests of one connection.
  struct Line {
    std::deque<Request> requests;
    std::uint64_t number = 0;  ///< Of the first one.
    Page page;                 ///< The same one's.
    Instant moved;             ///< When something of it was sent last.
    bool first = false;        ///< See take_turn.
  };
  struct Reading {
    std::uint32_t place = 0;  ///< The client's …
    std::uint64_t number = 0;
    std::string conversation;
  };

  static Result<Query> read_query(std::string_view payload);
  Line* find(std::uint32_t place, std::uint64_t number);
  void make_room();
  void start(std::uint32_t place);
  void begin(std::uint32_t place, Line& line, const Feed& feed, const Feeds::Access& access);
  void read(std::uint64_t token, const Page& page);
  void send(Client& client, Line& line);
  void send_next(Client& client, const Request& request, Page& page);
  static PageEnd end_of(const Request& request, const Page& page);
  void finish(std::uint32_t place, chat::Refusal refusal);

  Shard& shard_;
  std::unordered_map<std::uint32_t, Line> lines_;        ///< By the client's place.
  std::unordered_map<std::uint64_t, Reading> readings_;  ///< By token.
  std::uint64_t next_ = 1;
};

}  // namespace parley::shard
