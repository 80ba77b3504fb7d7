#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/broker/shard/nodes.hpp"

/// A conversation that is shared by a group, and what its members have got.
namespace parley::shard {

inline constexpr const char* kTopic = "chat/jobs/msg";
inline constexpr const char* kShare = "$share/g/chat/jobs/msg";

inline void post(World& world, std::size_t count, const std::string& topic = kTopic) {
  auto& boss = world.client("boss");
  if (!boss.connected()) join(world, "boss");
  for (std::size_t i = 1; i <= count; ++i) {
    boss.publish(topic, "job");
    if (i % 50 == 0) world.settle();
  }
  world.settle();
}

inline void post(Nodes& nodes, std::size_t at, std::size_t count) {
  auto& boss = nodes.at(at).client("boss");
  if (!boss.connected()) join(nodes, at, "boss");
  for (std::size_t i = 1; i <= count; ++i) {
    boss.publish(kTopic, "job");
    if (i % 50 == 0) nodes.settle();
  }
  nodes.settle();
}

/// What the clients have got together, each entry once.
inline std::vector<std::uint64_t> together(std::initializer_list<const simulation::Client*> clients) {
  std::set<std::uint64_t> all;
  for (const simulation::Client* client : clients) {
    for (const std::uint64_t seq : client->seqs(kTopic)) all.insert(seq);
  }
  return {all.begin(), all.end()};
}

inline std::optional<std::uint64_t> stored_cursor(World& world) {
  const auto mark = world.store().mark("jobs", "$share/g", Lsn{~std::uint64_t{0}});
  if (mark == format::Mark{}) return std::nullopt;
  return mark.delivered.value - 1;
}

}  // namespace parley::shard
