#include "broker/cluster/link_news.hpp"

#include <utility>

#include "base/log.hpp"
#include "broker/cluster/envelope.hpp"

namespace parley::cluster {

void LinkNews::connected(NodeId node, std::uint64_t connection) {
  told_[node] = {.connection = connection};
  tell(node, NodeEvent::Connected);
}

void LinkNews::disconnected(NodeId node) {
  if (const auto told = told_.extract(node); !told.mapped().over) tell(node, NodeEvent::Unreachable);
}

void LinkNews::writable(NodeId node, Channel channel) {
  post_to_all(
      [node, channel] { return std::make_unique<WritableLetter>(node, static_cast<shard::NodeChannel>(channel)); });
}

void LinkNews::messages(Delivery delivery) {
  const auto kept = std::make_shared<const Delivery>(std::move(delivery));
  std::vector<std::vector<MessagesLetter::Message>> messages(options_.shards);
  for (std::uint32_t i = 0; i < kept->size(); ++i) {
    const std::string_view whole = kept->message(i);
    std::string_view rest = whole;
    const auto shard = take_envelope(rest, options_);
    if (!shard) {
      log::warn("a message from another node is for nobody here, dropping it",
                {{"node", kept->peer}, {"channel", kept->channel}});
      continue;
    }
    messages[*shard].push_back({.place = i, .begin = static_cast<std::uint32_t>(whole.size() - rest.size())});
  }
  for (shard::ShardId shard = 0; shard < messages.size(); ++shard) {
    if (messages[shard].empty()) continue;
    mail_.post(shard, std::make_unique<MessagesLetter>(kept, std::move(messages[shard])));
  }
}

void LinkNews::reachable(NodeId node, std::uint64_t connection) {
  if (goes_on(node, connection)) tell(node, NodeEvent::Reachable);
}

void LinkNews::leads(NodeId node, std::uint64_t connection,
                     const std::shared_ptr<const std::vector<replication::Leading>>& list) {
  if (!goes_on(node, connection)) return;
  for (shard::ShardId shard = 0; shard < options_.shards; ++shard) {
    mail_.post(shard, std::make_unique<LeadsLetter>(node, list, shard, options_.shards, options_.slots));
  }
}

void LinkNews::give_up(NodeId node, std::uint64_t connection, std::string why) {
  if (!goes_on(node, connection)) return;
  told_.at(node).over = true;
  tell(node, NodeEvent::Unreachable);
  links_.drop(node, connection, std::move(why));
}

void LinkNews::give_up(NodeId node, std::string why) {
  if (const auto told = told_.find(node); told != told_.end()) give_up(node, told->second.connection, std::move(why));
}

bool LinkNews::goes_on(NodeId node, std::uint64_t connection) const {
  const auto told = told_.find(node);
  return told != told_.end() && told->second.connection == connection && !told->second.over;
}

void LinkNews::tell(NodeId node, NodeEvent event) {
  post_to_all([node, event] { return std::make_unique<NodeEventLetter>(node, event); });
}

template <class Make>
void LinkNews::post_to_all(Make make) {
  for (shard::ShardId shard = 0; shard < options_.shards; ++shard) mail_.post(shard, make());
}

}  // namespace parley::cluster
