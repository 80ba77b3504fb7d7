#include <gtest/gtest.h>

#include <thread>

#include "tests/bridge/history_fixture.hpp"

namespace parley::bridge {
namespace {

using test::HttpClient;
using test::HttpFields;

constexpr auto kPath = "/v1/conversations/talk/stream";

class BridgeStream : public test::HistoryFixture {
 protected:
  /// Opens the stream on a connection of its own and reads its beginning.
  std::unique_ptr<HttpClient> open(const std::string& query = "", const HttpFields& fields = {}) {
    auto client = std::make_unique<HttpClient>(bridge_->port());
    std::string text = "GET " + std::string(kPath) + query + " HTTP/1.1\r\nHost: h\r\n";
    for (const auto& [name, value] : fields) text.append(name).append(": ").append(value).append("\r\n");
    client->send(text.append("\r\n"));
    const auto head = client->read_head();
    EXPECT_EQ(head.status, 200U);
    EXPECT_EQ(head.header("content-type"), "text/event-stream");
    EXPECT_EQ(head.header("transfer-encoding"), "chunked");
    client->read_until(": connected\n\n");
    return client;
  }

  /// The id of the next event, whose data must be the entry of that seq.
  static std::uint64_t next(HttpClient& client) {
    std::string event = client.read_until("\n\n");
    const auto id = event.find("id: ");
    const auto data = event.find("data: ");
    if (id == std::string::npos || data == std::string::npos) return 0;
    const auto seq = std::stoull(event.substr(id + 4));
    const auto entry = boost::json::parse(event.substr(data + 6));
    EXPECT_EQ(entry.at("seq").to_number<std::uint64_t>(), seq);
    return seq;
  }
};

TEST_F(BridgeStream, ShowsNewEntriesAsTheyCome) {
  const auto number = conversation("talk", 5);
  start();
  const auto client = open();
  for (std::uint64_t seq = 6; seq < 30; ++seq) {
    world_.say(number, seq, seq);
    if (seq % 5 == 0) world_.materialise();
    ASSERT_EQ(next(*client), seq);
  }
}

TEST_F(BridgeStream, GoesOnBehindTheLastEventWithoutAGap) {
  const auto number = conversation("talk", 1'000);
  start();
  std::thread writer([&] {
    for (std::uint64_t seq = 1'001; seq <= 2'000; seq += 10) world_.say(number, seq, seq + 9);
  });
  std::uint64_t last = 0;
  for (int round = 0; last < 2'000; ++round) {
    ASSERT_LT(round, 1'000);
    const auto client = last == 0 ? open("?after=seq:0") : open("", {{"Last-Event-ID", std::to_string(last)}});
    for (int i = 0; i < 97 && last < 2'000; ++i) {
      ASSERT_EQ(next(*client), last + 1);
      ++last;
    }
  }
  writer.join();
}

TEST_F(BridgeStream, RefusesPositionsLikePages) {
  cut(conversation("talk", 100), 51);
  start();
  EXPECT_EQ(get(std::string(kPath) + "?after=seq:3").status, 410U);
  EXPECT_EQ(get(std::string(kPath) + "?after=seq:101").status, 416U);
  EXPECT_EQ(get(std::string(kPath) + "?epoch=5").status, 409U);
  EXPECT_EQ(get(std::string(kPath) + "?before=seq:60").status, 400U);
  EXPECT_EQ(get(kPath, {{"Last-Event-ID", "x"}}).status, 400U);
  EXPECT_EQ(get("/v1/conversations/nobody/stream").status, 404U);
  EXPECT_EQ(client_->request("POST", kPath, {}, "x").status, 405U);
}

TEST_F(BridgeStream, NamesDamagedEntries) {
  const auto number = conversation("talk", 3);
  world_.materialise();
  world_.damage(world_.files().store(), storage::kEntries, format::entry_key(number, {2}));
  start();
  const auto client = open("?after=seq:0");
  EXPECT_EQ(next(*client), 1U);
  EXPECT_NE(client->read_until("\n\n").find("event: corrupt"), std::string::npos);
  EXPECT_EQ(next(*client), 3U);
}

TEST_F(BridgeStream, EndsWholeWhenTheBridgeStops) {
  conversation("talk", 1);
  start();
  const auto client = open();
  bridge_->terminate();
  EXPECT_EQ(client->read_until("0\r\n\r\n"), "\r\n0\r\n\r\n")
      << "the last chunk, so the client knows that it was no accident";
  EXPECT_TRUE(client->closed());
  EXPECT_EQ(bridge_->wait(), 0);
}

}  // namespace
}  // namespace parley::bridge
