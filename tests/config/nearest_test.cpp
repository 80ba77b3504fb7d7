#include "config/nearest.hpp"

#include <gtest/gtest.h>

#include <array>

namespace parley::config {
namespace {

constexpr std::array<std::string_view, 4> kKnown{"mqtt.max_packet_size", "mqtt.max_qos", "chat.root", "log.level"};

TEST(NearestName, IsFoundThroughSlips) {
  EXPECT_EQ(nearest("mqtt.max_packet_sise", kKnown), "mqtt.max_packet_size");
  EXPECT_EQ(nearest("mqtt.maxpacketsize", kKnown), "mqtt.max_packet_size");
  EXPECT_EQ(nearest("mqtt.max_qoss", kKnown), "mqtt.max_qos");
  EXPECT_EQ(nearest("log.levle", kKnown), "log.level");
}

TEST(NearestName, IsEmptyWhenNothingIsNear) {
  EXPECT_EQ(nearest("frobnicate", kKnown), "");
  EXPECT_EQ(nearest("x", kKnown), "");
  EXPECT_EQ(nearest("anything", {}), "");
}

}  // namespace
}  // namespace parley::config
