#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/simulation/seeds.hpp"
#include "tests/simulation/world.hpp"

/// What the tests of broker/shard have in common.
namespace parley::shard {

using mqtt::PacketType;
using mqtt::ProtocolVersion;
using mqtt::Qos;
using mqtt::ReasonCode;
using simulation::ConnectOptions;
using simulation::PublishOptions;
using simulation::Received;
using simulation::SubscribeOptions;
using simulation::UserProperties;
using simulation::World;
using simulation::WorldOptions;

using namespace std::chrono_literals;

/// A world as the quick start has it: conversations appear on first use.
inline WorldOptions dev(std::uint32_t shards = 1) {
  WorldOptions options;
  options.shard.auto_create = true;
  options.shard.shards = shards;
  return options;
}

/// Connects and settles; fails the test when the broker refuses.
inline simulation::Client& join(World& world, const std::string& id, const ConnectOptions& options = {}) {
  auto& client = world.client(id);
  client.connect(options);
  world.settle();
  const auto* connack = client.connack();
  EXPECT_TRUE(client.connected() && connack != nullptr) << id << " is not connected";
  if (connack != nullptr) {
    EXPECT_EQ(connack->reason(), ReasonCode::Success) << id;
  }
  return client;
}

/// A session that stays when its connection goes.
inline ConnectOptions lasting(bool clean_start = false, std::uint32_t expiry = 3600) {
  ConnectOptions options;
  options.clean_start = clean_start;
  options.expiry = expiry;
  return options;
}

/// Subscribes, settles and returns SUBACK's first reason.
inline ReasonCode follow(World& world, simulation::Client& client, const std::string& filter,
                         const SubscribeOptions& options = {}) {
  const auto id = client.subscribe(filter, options);
  world.settle();
  const auto* suback = client.answer(PacketType::Suback, id);
  EXPECT_NE(suback, nullptr) << "no SUBACK for " << filter;
  return suback == nullptr ? ReasonCode::UnspecifiedError : suback->reason();
}

/// Publishes at QoS 1, settles and returns PUBACK.
inline simulation::Answer say(World& world, simulation::Client& client, const std::string& topic,
                              const std::string& payload, const PublishOptions& options = {}) {
  const auto id = client.publish(topic, payload, options);
  world.settle();
  const auto* ack = client.answer(options.qos == Qos::AtLeastOnce ? PacketType::Puback : PacketType::Pubrec, id);
  EXPECT_NE(ack, nullptr) << "no acknowledgement for " << payload;
  return ack == nullptr ? simulation::Answer{} : *ack;
}

inline std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> list;
  for (; first <= last; ++first) list.push_back(first);
  return list;
}

inline UserProperties since(std::uint64_t seq) { return {{"since", std::to_string(seq)}}; }

}  // namespace parley::shard
