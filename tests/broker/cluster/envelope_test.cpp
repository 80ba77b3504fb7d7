#include "broker/cluster/envelope.hpp"

#include <gtest/gtest.h>

#include <string>

namespace parley::cluster {
namespace {

using namespace std::literals;

shard::ShardOptions options() {
  shard::ShardOptions options;
  options.shards = 3;
  options.slots = 256;
  return options;
}

TEST(Envelope, LeadsToTheSlotsHomeOrTheShard) {
  struct Case {
    std::string_view message;
    shard::ShardId shard;
    std::string_view rest;
  };
  const Case cases[] = {{"\0\x05hello"sv, 2, "hello"},
                        {"\0\0"sv, 0, ""},
                        {"\0\xC8\x01x"sv, 200 % 3, "x"},
                        {"\x01\x02y"sv, 2, "y"},
                        {"\x01\0\0"sv, 0, "\0"sv}};
  for (const auto& [message, shard, rest] : cases) {
    std::string_view left = message;
    EXPECT_EQ(take_envelope(left, options()), shard);
    EXPECT_EQ(left, rest);
  }
}

TEST(Envelope, IsRefusedWhenItLeadsNowhere) {
  for (const std::string_view message :
       {""sv, "\0"sv, "\x01"sv, "\x02\x01"sv, "\0\x80"sv, "\0\x80\x00"sv, "\0\x80\x02"sv, "\x01\x03"sv,
        "\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"sv}) {
    std::string_view left = message;
    EXPECT_FALSE(take_envelope(left, options()));
    EXPECT_EQ(left, message);
  }
}

}  // namespace
}  // namespace parley::cluster
