#include "clients/link/exchanges.hpp"

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <set>

namespace parley::link {
namespace {

using mqtt::PacketType;

class ExchangesTest : public ::testing::Test {
 protected:
  boost::asio::io_context loop_;
  Exchanges exchanges_{loop_.get_executor()};
};

TEST_F(ExchangesTest, GivesEveryOpenExchangeAnotherIdAndNeverZero) {
  std::set<mqtt::PacketId> ids;
  for (int i = 0; i < 65'535; ++i) ids.insert(exchanges_.open(PacketType::Puback).first);
  EXPECT_EQ(ids.size(), 65'535U);
  EXPECT_FALSE(ids.contains(0));
  exchanges_.complete(777);
  EXPECT_EQ(exchanges_.open(PacketType::Puback).first, 777) << "the only free id";
}

TEST_F(ExchangesTest, FindsOnlyTheAwaitedPacket) {
  const auto [id, exchange] = exchanges_.open(PacketType::Pubrec);
  EXPECT_EQ(exchanges_.find(id, PacketType::Pubrec), exchange.get());
  EXPECT_EQ(exchanges_.find(id, PacketType::Puback), nullptr);
  EXPECT_EQ(exchanges_.find(static_cast<mqtt::PacketId>(id + 1), PacketType::Pubrec), nullptr);
}

TEST_F(ExchangesTest, ALostConnectionEndsSubscribesAndKeepsPublishesOfALastingSession) {
  const auto publish = exchanges_.open(PacketType::Puback).second;
  const auto released = exchanges_.open(PacketType::Pubcomp).second;
  const auto subscribe = exchanges_.open(PacketType::Suback).second;
  exchanges_.fail(boost::asio::error::connection_reset, false);
  EXPECT_FALSE(publish->done);
  EXPECT_FALSE(released->done);
  EXPECT_TRUE(subscribe->done);
  EXPECT_EQ(subscribe->error, boost::asio::error::connection_reset);
  EXPECT_EQ(exchanges_.publishes(), 2U);
  exchanges_.fail(boost::asio::error::connection_reset, true);
  EXPECT_TRUE(publish->done);
  EXPECT_EQ(exchanges_.publishes(), 0U);
}

TEST_F(ExchangesTest, KnowsAReceivedMessageUntilItIsReleased) {  // MQTT 5 §4.3.3
  EXPECT_TRUE(exchanges_.receive(9));
  EXPECT_FALSE(exchanges_.receive(9));
  exchanges_.taken(9);
  EXPECT_TRUE(exchanges_.was_taken(9));
  exchanges_.forget_untaken();
  EXPECT_FALSE(exchanges_.receive(9)) << "taken, so it may not come twice";
  EXPECT_TRUE(exchanges_.release(9));
  EXPECT_FALSE(exchanges_.release(9));
  EXPECT_TRUE(exchanges_.receive(9));
  exchanges_.forget_untaken();
  EXPECT_TRUE(exchanges_.receive(9));
}

}  // namespace
}  // namespace parley::link
