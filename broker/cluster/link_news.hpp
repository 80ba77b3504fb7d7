#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/cluster/peer_links.hpp"
#include "broker/cluster/shard_letters.hpp"
#include "broker/cluster/shard_mail.hpp"
#include "broker/shard/options.hpp"

/// What the shards hear of connections to other nodes.
namespace parley::cluster {

/// Belongs to the links' thread, which alone tells the shards, so that they hear in order what happens. Of a connection
/// that is given up they hear nothing more, whatever still comes.
class LinkNews {
 public:
  /// All live longer.
  LinkNews(const shard::ShardOptions& options, ShardMail& mail, PeerLinks& links)
      : options_(options), mail_(mail), links_(links) {}

  void connected(NodeId node, std::uint64_t connection);
  void disconnected(NodeId node);
  /// The shards may hear more of the node's connection.
  [[nodiscard]] bool goes_on(NodeId node) const { return !told_.at(node).over; }
  void writable(NodeId node, Channel channel);
  /// Messages, to the shards that they are for.
  void messages(Delivery delivery);

  // -- Of a connection that may be over by now: then nothing happens --
  void reachable(NodeId node, std::uint64_t connection);
  void leads(NodeId node, std::uint64_t connection,
             const std::shared_ptr<const std::vector<replication::Leading>>& list);
  /// Ends the connection. Nothing that was given to the links meanwhile may get lost in silence: what there is to say
  /// is said anew, by both sides, over another one.
  void give_up(NodeId node, std::uint64_t connection, std::string why);
  /// The same with the present one, if there is one.
  void give_up(NodeId node, std::string why);

 private:
  struct Told {
    std::uint64_t connection = 0;
    bool over = false;  ///< The shards were told that it is, before it has ended.
  };

  [[nodiscard]] bool goes_on(NodeId node, std::uint64_t connection) const;
  void tell(NodeId node, NodeEvent event);
  template <class Make>
  void post_to_all(Make make);

  const shard::ShardOptions& options_;
  ShardMail& mail_;
  PeerLinks& links_;
  std::map<NodeId, Told> told_;  ///< Of each node's connection.
};

}  // namespace parley::cluster
