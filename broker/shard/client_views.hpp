#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/time.hpp"
#include "broker/shard/node_events.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// A client as an operator sees it.
struct ClientView {
  std::string client_id;
  std::string user;
  std::string address;        ///< Of its connection, as the rest up to `seconds`; without one empty and 0.
  std::string transport;      ///< `tcp`, `tls`, `ws`, `wss`, `unix`.
  std::uint64_t version = 0;  ///< Protocol level: 3, 4, 5.
  bool connected = false;
  std::uint64_t seconds = 0;  ///< It has been connected.
  std::uint64_t subscriptions = 0;
  std::uint64_t under_way = 0;  ///< Messages sent to it and not settled.
  std::uint64_t queued = 0;     ///< Messages of ordinary topics that wait for it.
  std::uint64_t expiry = 0;     ///< Session Expiry Interval, seconds.
};

struct ClientSearch {
  std::string prefix;               ///< Of the client id.
  std::optional<std::string> user;  ///< Nothing: anybody's.
  std::string after;                ///< Only client ids behind it.
  std::size_t limit = 0;
  bool absent = false;  ///< Also those without a connection.
};

struct ClientOrder {
  bool kick = false;
  std::string reason;  ///< Told to the client, if it isn't empty.
};

/// What an operator may ask about the clients of a shard, and of other nodes' shards. Belongs to its shard's thread.
/// A list costs a look at each of the shard's clients.
class ClientViews {
 public:
  static constexpr std::size_t kReasonSizeMax = 256;
  static constexpr std::size_t kListMax = 1'000;
  /// How long other nodes are waited for, at least.
  static constexpr Duration kWait = std::chrono::seconds(5);

  explicit ClientViews(Shard& shard) : shard_(shard) {}

  /// By client id, the first `limit` of them, no more than kListMax.
  std::vector<ClientView> list(const ClientSearch& search);

  struct Found {
    ClientView view;  ///< As it was before it was kicked.
    NodeId node;
  };
  using Known = std::function<void(std::optional<Found>)>;
  /// On the home shard of the client id: the client here or, where it isn't connected here, at another node. `known` is
  /// called at once or later, and not at all when nodes don't answer and nobody asks again.
  void find(const std::string& client_id, const ClientOrder& order, Known known);

  void asked(NodeId from, const remote::ClientAsk& event);
  void answered(NodeId from, const remote::ClientAnswer& event);
  void node_unreachable(NodeId node);

 private:
  struct Question {
    std::set<NodeId> open;
    std::optional<ClientView> here;  ///< An absent one.
    Known known;
    Instant due;
  };
  [[nodiscard]] ClientView view_of(const Client& client) const;
  void kick(Client& client, std::string_view reason);
  void settle(std::uint64_t token, std::optional<Found> found);
  void forget_late();

  Shard& shard_;
  std::map<std::uint64_t, Question> questions_;
  std::uint64_t next_question_ = 1;
};

}  // namespace parley::shard
