#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/broker/shard/nodes.hpp"

/// Conversations with members, and what their clients say and are answered.
namespace parley::shard {

/// Where conversations don't appear by themselves.
inline WorldOptions closed(std::uint32_t shards = 1) {
  WorldOptions options = dev(shards);
  options.shard.auto_create = false;
  return options;
}

/// Connects and listens to its replies.
inline simulation::Client& enter(World& world, const std::string& id, const ConnectOptions& options = {}) {
  auto& client = join(world, id, options);
  follow(world, client, "client/" + id + "/reply");
  return client;
}
inline simulation::Client& enter(Nodes& nodes, std::size_t at, const std::string& id) {
  auto& client = join(nodes, at, id);
  follow(nodes, client, "client/" + id + "/reply");
  return client;
}

/// Gives a command and returns the last reply's payload.
inline std::string command(auto& world, simulation::Client& client, const std::string& conversation,
                           const std::string& json) {
  const std::size_t before = client.received.size();
  client.publish("chat/" + conversation + "/ctl", json);
  world.settle();
  for (std::size_t i = client.received.size(); i-- > before;) {
    if (client.received[i].topic.starts_with("client/")) return client.received[i].payload;
  }
  return "";
}

/// The refusal's word; "ok" for an answer that is one.
inline std::string word_of(const std::string& answer) {
  if (answer.starts_with("{\"ok\":true")) return "ok";
  constexpr std::string_view kError = "\"error\":\"";
  const auto at = answer.find(kError);
  if (at == std::string::npos) return "no answer";
  const auto begin = at + kError.size();
  return answer.substr(begin, answer.find('"', begin) - begin);
}

/// The owner creates conversation tea and adds the others, who needn't be connected.
inline void create(auto& world, simulation::Client& owner, const std::vector<std::string>& others) {
  command(world, owner, "tea", R"({"op":"create"})");
  for (const std::string& user : others) command(world, owner, "tea", R"({"op":"add","user":")" + user + "\"}");
}

inline bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// Runs a test with MQTT 5 and with 3.1.1.
class BothVersions : public testing::TestWithParam<ProtocolVersion> {
 protected:
  [[nodiscard]] static ConnectOptions as() {
    ConnectOptions options;
    options.version = GetParam();
    return options;
  }
  [[nodiscard]] static bool five() { return GetParam() == ProtocolVersion::V5; }
};

}  // namespace parley::shard
