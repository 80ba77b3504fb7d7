#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/broker/shard/group_scene.hpp"

/// What clients have seen of a user.
namespace parley::shard {

/// "online/1", "offline/0 gone": what came on presence/{user}, in order.
inline std::vector<std::string> seen(const simulation::Client& client, const std::string& user) {
  std::vector<std::string> list;
  for (const Received& one : client.received) {
    if (one.topic != "presence/" + user) continue;
    const auto field = [&](std::string_view name) {
      const auto at = one.payload.find(name);
      const auto begin = at + name.size();
      return at == std::string::npos ? "" : one.payload.substr(begin, one.payload.find_first_of(",}\"", begin) - begin);
    };
    std::string text = field("\"state\":\"") + "/" + field("\"devices\":");
    if (const std::string status = field("\"status\":\""); !status.empty()) text.append(" ").append(status);
    list.push_back(text);
  }
  return list;
}

using List = std::vector<std::string>;

}  // namespace parley::shard
