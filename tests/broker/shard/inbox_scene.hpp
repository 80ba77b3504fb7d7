#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/broker/shard/group_scene.hpp"

/// Users with several devices, and what these have got of all their conversations.
namespace parley::shard {

inline constexpr const char* kInbox = "chat/+/msg";

/// The owner creates the conversation and adds the others, who needn't be connected.
inline void create(auto& where, simulation::Client& owner, const std::string& conversation,
                   const std::vector<std::string>& members) {
  command(where, owner, conversation, R"({"op":"create"})");
  for (const auto& member : members) {
    command(where, owner, conversation, R"({"op":"add","user":")" + member + R"("})");
  }
}

/// A user's device; the user's name is before the dot.
inline simulation::Client& device(World& world, const std::string& id, ConnectOptions options = {}) {
  options.user_name = id.substr(0, id.find('.'));
  return join(world, id, options);
}
inline simulation::Client& device(Nodes& nodes, std::size_t at, const std::string& id, ConnectOptions options = {}) {
  options.user_name = id.substr(0, id.find('.'));
  return join(nodes, at, id, options);
}

/// A device that is shown its receipts.
inline simulation::Client& owner(World& world, const std::string& id) {
  auto& client = device(world, id);
  follow(world, client, "client/" + id + "/reply");
  return client;
}

/// What came on conversations, as `{conversation}:{seq}`, in order.
inline std::vector<std::string> got(const simulation::Client& client, std::size_t from = 0) {
  std::vector<std::string> list;
  for (std::size_t i = from; i < client.received.size(); ++i) {
    const auto& one = client.received[i];
    if (!one.topic.starts_with("chat/")) continue;
    const auto end = one.topic.find('/', 5);
    list.push_back(one.topic.substr(5, end - 5) + ":" + std::to_string(one.seq()));
  }
  return list;
}

using Strings = std::vector<std::string>;

}  // namespace parley::shard
