#include "broker/cluster/redis_connection.hpp"

#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "base/aio/task_group.hpp"
#include "base/aio/within.hpp"
#include "tests/base/aio/run.hpp"
#include "tests/broker/cluster/redis_server.hpp"

namespace parley::cluster {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using aio::test::run;
using test::RedisServer;

RedisAddress address_of(const RedisServer& server) { return {.host = "localhost", .port = server.port()}; }

asio::awaitable<void> open(RedisConnection* connection, RedisAddress address, RedisLogin login, RedisError error) {
  auto opening = connection->open(std::move(address), std::move(login));
  const auto opened = co_await std::move(opening);
  EXPECT_EQ(opened.error(), error == RedisError{} ? boost::system::error_code() : make_error_code(error))
      << opened.error().message();
}

asio::awaitable<void> pipeline(const RedisServer* server) {
  RedisConnection connection(co_await asio::this_coro::executor, {});
  auto opening = open(&connection, address_of(*server), {.user = "", .password = "", .database = 2}, {});
  co_await std::move(opening);
  std::vector<RedisCommand> commands;
  const std::string binary("\0\r\n\xff", 4);
  commands.push_back({"SET", "key", binary});
  for (int i = 0; i < 2000; ++i) commands.push_back({"ECHO", std::to_string(i)});
  commands.push_back({"GET", "key"});
  commands.push_back({"GET", "nothing"});
  commands.push_back({"INCR", "key"});
  commands.push_back({"RPUSH", "list", "a", "b"});
  commands.push_back({"LRANGE", "list", "0", "-1"});
  auto calling = connection.call(std::move(commands));
  const auto replies = co_await std::move(calling);
  EXPECT_TRUE(replies);
  if (!replies) co_return;
  EXPECT_EQ(replies->size(), 2006U);
  for (std::size_t i = 0; i < 2000; ++i) EXPECT_EQ((*replies)[i + 1].text, std::to_string(i));
  EXPECT_EQ((*replies)[0].kind, RedisReply::Kind::Status);
  EXPECT_EQ((*replies)[2001].text, binary);
  EXPECT_TRUE((*replies)[2002].is_nil());
  EXPECT_EQ((*replies)[2003].error_word(), "ERR");
  EXPECT_EQ((*replies)[2004].integer, 2);
  EXPECT_EQ((*replies)[2005].elements.at(1).text, "b");
  EXPECT_EQ(server->command({"EXISTS", "key"}), "0") << "it is in database 2";
}

TEST(RedisConnection, AnswersAPipelineInOrder) {
  const RedisServer server;
  run(pipeline(&server));
}

asio::awaitable<void> refused(const RedisServer* server) {
  const auto executor = co_await asio::this_coro::executor;
  const std::vector<RedisLogin> logins{
      {.user = "", .password = "wrong"}, {.user = "nobody", .password = "x"}, {.database = 99}};
  for (const RedisLogin& login : logins) {
    RedisConnection connection(executor, {});
    auto opening = open(&connection, address_of(*server), login, RedisError::Refused);
    co_await std::move(opening);
    EXPECT_FALSE(connection.is_open());
    auto calling = connection.call(RedisCommand{"PING"});
    const auto reply = co_await std::move(calling);
    EXPECT_EQ(reply.error(), make_error_code(RedisError::Unavailable));
  }
  RedisConnection nobody(executor, {});
  auto opening = open(&nobody, {.host = "127.0.0.1", .port = 1}, {}, RedisError::Unavailable);
  co_await std::move(opening);
}

TEST(RedisConnection, SaysWhyItIsNotLetIn) {
  const RedisServer server;
  run(refused(&server));
}

asio::awaitable<void> late(RedisServer* server) {
  const auto executor = co_await asio::this_coro::executor;
  RedisConnection connection(executor, {.connect_timeout = 500ms, .call_timeout = 200ms});
  auto opening = open(&connection, address_of(*server), {}, {});
  co_await std::move(opening);
  server->stop();
  auto began = Clock::now();
  auto calling = connection.call(RedisCommand{"PING"});
  const auto reply = co_await std::move(calling);
  EXPECT_EQ(reply.error(), make_error_code(RedisError::TimedOut));
  EXPECT_LT(Clock::now() - began, 400ms);
  EXPECT_FALSE(connection.is_open()) << "late replies would be taken for others";
  began = Clock::now();
  RedisConnection another(executor, {.connect_timeout = 300ms, .call_timeout = 200ms});
  auto trying = another.open(address_of(*server), {});
  const auto opened = co_await std::move(trying);
  EXPECT_EQ(opened.error(), make_error_code(RedisError::TimedOut));
  EXPECT_LT(Clock::now() - began, 600ms);
  server->resume();
}

TEST(RedisConnection, IsDroppedWhenAReplyIsLate) {
  RedisServer server;
  run(late(&server));
}

asio::awaitable<void> killed(RedisServer* server) {
  RedisConnection connection(co_await asio::this_coro::executor, {});
  auto opening = open(&connection, address_of(*server), {}, {});
  co_await std::move(opening);
  server->kill();
  const bool lost = co_await connection.wait_lost();
  EXPECT_TRUE(lost);
  auto calling = connection.call(RedisCommand{"PING"});
  const auto reply = co_await std::move(calling);
  EXPECT_EQ(reply.error(), make_error_code(RedisError::Unavailable));
}

TEST(RedisConnection, NoticesThatTheServerHasGone) {
  RedisServer server;
  run(killed(&server));
}

asio::awaitable<void> listen(const RedisServer* server) {
  const auto executor = co_await asio::this_coro::executor;
  RedisConnection connection(executor, {});
  auto opening = open(&connection, address_of(*server), {}, {});
  co_await std::move(opening);
  std::vector<std::string> heard;
  aio::Event came(executor);
  auto subscribing = connection.subscribe("news", [&heard, &came](std::string_view message) {
    heard.emplace_back(message);
    came.notify();
  });
  const auto subscribed = co_await std::move(subscribing);
  EXPECT_TRUE(subscribed);
  for (const char* message : {"one", "two", "three"}) server->command({"PUBLISH", "news", message});
  server->command({"PUBLISH", "other", "not for us"});
  while (heard.size() < 3) {
    const bool woken = co_await came.wait();
    if (!woken) co_return;
  }
  EXPECT_EQ(heard, (std::vector<std::string>{"one", "two", "three"}));
  server->command({"CLIENT", "KILL", "TYPE", "pubsub"});
  const bool lost = co_await connection.wait_lost();
  EXPECT_TRUE(lost);
}

TEST(RedisConnection, HearsWhatIsPublished) {
  const RedisServer server;
  run(listen(&server));
}

asio::awaitable<void> dropped_from_within(const RedisServer* server) {
  const auto executor = co_await asio::this_coro::executor;
  auto connection = std::make_unique<RedisConnection>(executor, RedisLimits{});
  auto opening = open(connection.get(), address_of(*server), {}, {});
  co_await std::move(opening);
  aio::Event gone(executor);
  auto subscribing = connection->subscribe("news", [&connection, &gone](std::string_view) {
    connection.reset();
    gone.notify();
  });
  const auto subscribed = co_await std::move(subscribing);
  EXPECT_TRUE(subscribed);
  server->command({"PUBLISH", "news", "the end"});
  while (connection) {
    const bool woken = co_await gone.wait();
    if (!woken) co_return;
  }
}

TEST(RedisConnection, MayGoWhileItIsBeingRead) {
  const RedisServer server;
  run(dropped_from_within(&server));
}

asio::awaitable<void> wait_for_reply(RedisConnection* connection, bool* ended) {
  auto calling = connection->call(RedisCommand{"BLPOP", "never", "0"});
  const auto reply = co_await std::move(calling);
  EXPECT_FALSE(reply);
  *ended = true;
}

asio::awaitable<void> cancelled(const RedisServer* server) {
  const auto executor = co_await asio::this_coro::executor;
  bool ended = false;
  {
    RedisConnection connection(executor, {});
    auto opening = open(&connection, address_of(*server), {}, {});
    co_await std::move(opening);
    aio::TaskGroup tasks(executor);
    tasks.spawn(wait_for_reply(&connection, &ended));
    const bool rested = co_await aio::test::rest(20ms);
    EXPECT_TRUE(rested);
    tasks.stop();
    co_await tasks.join();
  }
  EXPECT_TRUE(ended);
}

TEST(RedisConnection, LetsACallBeCancelled) {
  const RedisServer server;
  run(cancelled(&server));
}

asio::awaitable<void> cancelled_late(const RedisServer* server) {
  const auto executor = co_await asio::this_coro::executor;
  RedisConnection connection(executor, {.call_timeout = 1s});
  auto opening = open(&connection, address_of(*server), {}, {});
  co_await std::move(opening);
  auto calling = connection.call(RedisCommand{"BLPOP", "never", "0"});
  const auto reply = co_await aio::within(950ms, std::move(calling));
  EXPECT_FALSE(reply);
  EXPECT_FALSE(connection.is_open());
}

TEST(RedisConnection, IsDroppedWhenACallersDeadlineComesAMomentBeforeItsOwn) {
  const RedisServer server;
  run(cancelled_late(&server));
}

/// What calls itself Redis need not be one.
asio::awaitable<void> talk_to_a_stranger(std::string says) {
  const auto executor = co_await asio::this_coro::executor;
  asio::ip::tcp::acceptor acceptor(executor, {asio::ip::address_v4::loopback(), 0});
  aio::TaskGroup tasks(executor);
  RedisConnection connection(executor, {.connect_timeout = 300ms, .call_timeout = 300ms});
  auto answer = [](asio::ip::tcp::acceptor* from, std::string bytes) -> asio::awaitable<void> {
    auto socket = co_await from->async_accept(asio::use_awaitable);
    [[maybe_unused]] const auto sent = co_await socket.async_send(asio::buffer(bytes), asio::use_awaitable);
    [[maybe_unused]] const bool rested = co_await aio::test::rest(500ms);
  };
  tasks.spawn(answer(&acceptor, std::move(says)));
  const auto began = Clock::now();
  auto opening = connection.open({.host = "127.0.0.1", .port = acceptor.local_endpoint().port()}, {});
  const auto opened = co_await std::move(opening);
  EXPECT_FALSE(opened);
  EXPECT_LT(Clock::now() - began, 3s);
  EXPECT_FALSE(connection.is_open());
  tasks.stop();
  co_await tasks.join();
}

TEST(RedisConnection, SurvivesWhatIsNoRedis) {
  for (const char* says : {"", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "*1000000000\r\n", "$-5\r\n",
                           "$999999999999\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"}) {
    run(talk_to_a_stranger(says));
  }
}

}  // namespace
}  // namespace parley::cluster
