#include "bridge/bridge.hpp"

#include <gtest/gtest.h>

#include <future>

#include "bridge/api.hpp"
#include "bridge/page.hpp"
#include "tests/bridge/history_fixture.hpp"

namespace parley::bridge {
namespace {

using namespace std::chrono_literals;
using test::HistoryFixture;
using test::HttpClient;
using test::HttpReply;

constexpr auto kPath = "/v1/conversations/talk/messages";

std::string at(std::string_view query) { return std::string(kPath) + "?" + std::string(query); }

// -- Reading history --

class BridgeHistory : public HistoryFixture {};

TEST_F(BridgeHistory, ShowsTheNewestPageInAscendingOrder) {
  conversation("talk", 120);
  start();
  for (const auto* path : {kPath, "/conversations/talk/messages"}) {
    const auto reply = get(path);
    EXPECT_EQ(seqs(reply), run(71, 120));
    const auto meta = json(reply).at("meta");
    EXPECT_EQ(meta.at("oldest").to_number<int>(), 1);
    EXPECT_EQ(meta.at("head").to_number<int>(), 120);
    EXPECT_EQ(meta.at("epoch").as_string(), "77");
    EXPECT_TRUE(meta.at("next").is_null());
    EXPECT_TRUE(meta.at("prev").is_string());
  }
}

TEST_F(BridgeHistory, ShowsEntriesAsDocumented) {
  const auto number = world_.create("talk");
  world_.append({world_.records().entry(number, {1}, {1'700'000'000'123}, "ann", "a\"1", "h\xC3\xA4llo"),
                 world_.records().entry(number, {2}, {1'700'000'000'124}, "bob", "b2", std::string("\xff\0", 2))});
  start();
  const auto page = json(get(kPath));
  const auto& first = page.at("data").at(0);
  EXPECT_EQ(first.at("ts").to_number<std::uint64_t>(), 1'700'000'000'123);
  EXPECT_EQ(first.at("id").as_string(), "a\"1");
  EXPECT_EQ(first.at("from").as_string(), "ann");
  EXPECT_EQ(first.at("kind").as_string(), "message");
  EXPECT_EQ(first.at("text").as_string(), "h\xC3\xA4llo");
  EXPECT_EQ(page.at("data").at(1).at("data").as_string(), "/wA=");
}

TEST_F(BridgeHistory, TakesPositionsBySeqTimeAndBoth) {
  conversation("talk", 100);  // Entry n has ts kMorning + 10 n.
  start();
  const auto morning = storage::test::kMorning;
  EXPECT_EQ(seqs(get(at("after=seq:40&limit=3"))), run(41, 43));
  EXPECT_EQ(seqs(get(at("before=seq:40&limit=3"))), run(37, 39));
  EXPECT_EQ(seqs(get(at("after=seq:97"))), run(98, 100));
  EXPECT_EQ(seqs(get(at("after=seq:100"))), run(1, 0));
  EXPECT_EQ(seqs(get(at("before=seq:1"))), run(1, 0));
  EXPECT_EQ(seqs(get(at("after=seq:40&before=seq:44"))), run(41, 43));
  EXPECT_EQ(seqs(get(at("after=seq:40&before=seq:41"))), run(1, 0));
  EXPECT_EQ(seqs(get(at("limit=2&after=" + std::to_string(morning + 400)))), run(41, 42)) << "exclusive";
  EXPECT_EQ(seqs(get(at("limit=2&after=" + std::to_string(morning + 399)))), run(40, 41));
  EXPECT_EQ(seqs(get(at("limit=2&before=" + std::to_string(morning + 400)))), run(38, 39)) << "exclusive";
  EXPECT_EQ(seqs(get(at("limit=2&before=2023-11-14T22:13:20.401Z"))), run(39, 40));
  EXPECT_EQ(seqs(get(at("limit=2&after=2023-11-15T00:13:20.395+02:00"))), run(40, 41));
  EXPECT_EQ(seqs(get(at("before=" + std::to_string(morning)))), run(1, 0));
  EXPECT_EQ(seqs(get(at("after=9999999999999"))), run(1, 0));
  EXPECT_EQ(seqs(get(at("limit=2&before=18446744073709551615"))), run(99, 100));
}

TEST_F(BridgeHistory, RefusesPositionsThatAreNowhere) {
  cut(conversation("talk", 100), 51);
  start();
  struct Case {
    std::string query;
    unsigned status;
    std::string_view code;
  };
  const Case cases[] = {{"after=seq:101", 416, "beyond-head"},
                        {"before=seq:102", 416, "beyond-head"},
                        {"before=seq:18446744073709551615", 416, "beyond-head"},
                        {"after=seq:18446744073709551615", 416, "beyond-head"},
                        {"after=seq:49", 410, "below-retention"},
                        {"after=seq:0", 410, "below-retention"},
                        {"before=seq:51", 410, "below-retention"},
                        {"after=seq:60&epoch=78", 409, "other-epoch"},
                        {"limit=0", 400, "invalid-parameter"}};
  for (const auto& wrong : cases) {
    const auto reply = get(at(wrong.query));
    EXPECT_EQ(reply.status, wrong.status) << wrong.query;
    EXPECT_EQ(code(reply), wrong.code);
    if (wrong.status == 400) continue;
    EXPECT_EQ(json(reply).at("oldest").to_number<int>(), 51) << "the client learns where it can go on";
    EXPECT_EQ(json(reply).at("head").to_number<int>(), 100);
  }
  EXPECT_EQ(seqs(get(at("after=seq:50&limit=2"))), run(51, 52));
  EXPECT_EQ(seqs(get(at("before=seq:53"))), run(51, 52));
}

TEST_F(BridgeHistory, RefusesACursorOfAnotherEpochAndUnknownConversations) {
  conversation("talk", 10);
  start();
  Cursor foreign;
  foreign.epoch = {78};
  EXPECT_EQ(get(at("cursor=" + foreign.encode())).status, 409U);
  EXPECT_EQ(code(get("/v1/conversations/nobody/messages")), "no-such-conversation");
  for (const auto* name : {"a%2Fb", "%24SYS", "a%23", "", "%ff", "a%00b"}) {
    const auto reply = get("/v1/conversations/" + std::string(name) + "/messages");
    EXPECT_EQ(reply.status, 400U) << name;
    EXPECT_EQ(json(reply).at("parameter").as_string(), "id");
  }
}

TEST_F(BridgeHistory, LinksToTheNeighbours) {
  conversation("talk", 100);
  start();
  const auto reply = get(at("after=seq:40&limit=10"));
  const std::string links = reply.header("link");
  for (const auto* relation : {"next", "prev", "first", "last"}) {
    EXPECT_NE(links.find(std::string("; rel=\"") + relation + '"'), std::string::npos) << links;
  }
  const auto follow = [&](std::string_view relation) {
    const auto end = links.find(">; rel=\"" + std::string(relation));
    const auto begin = links.rfind('<', end) + 1;
    return links.substr(begin, end - begin);
  };
  EXPECT_TRUE(follow("next").starts_with("/v1/conversations/talk/messages?limit=10&cursor="));
  EXPECT_EQ(seqs(get(follow("next"))), run(51, 60));
  EXPECT_EQ(seqs(get(follow("prev"))), run(31, 40));
  EXPECT_EQ(seqs(get(follow("first"))), run(1, 10));
  EXPECT_EQ(seqs(get(follow("last"))), run(91, 100));
}

TEST_F(BridgeHistory, TagsPagesThatCannotChange) {
  conversation("talk", 100);
  start();
  const auto page = get(at("after=seq:10&limit=10"));
  const std::string tag = page.header("etag");
  ASSERT_TRUE(tag.starts_with("W/\"")) << tag;
  const auto same = get(at("after=seq:10&limit=10"), {{"If-None-Match", "W/\"other\", " + tag}});
  EXPECT_EQ(same.status, 304U);
  EXPECT_EQ(same.header("etag"), tag);
  EXPECT_EQ(same.body, "");
  EXPECT_EQ(get(at("after=seq:11&limit=10"), {{"If-None-Match", tag}}).status, 200U);
  EXPECT_EQ(get(kPath).header("etag"), "") << "the newest page moves";
  EXPECT_EQ(get(at("after=seq:95&limit=10")).header("etag"), "") << "it isn't full";
}

TEST_F(BridgeHistory, CompressesWhereAsked) {
  conversation("talk", 100);
  start();
  const auto plain = get(kPath);
  const auto gzip = get(kPath, {{"Accept-Encoding", "gzip, br"}});
  EXPECT_EQ(gzip.header("content-encoding"), "gzip");
  EXPECT_LT(gzip.body.size() * 3, plain.body.size());
  EXPECT_EQ(plain.header("vary"), "Accept-Encoding");
  EXPECT_EQ(get(at("limit=1"), {{"Accept-Encoding", "gzip"}}).header("content-encoding"), "");
}

TEST_F(BridgeHistory, NamesDamagedEntriesAndShowsTheRest) {
  const auto number = conversation("talk", 10);
  world_.materialise();
  world_.damage(world_.files().store(), storage::kEntries, format::entry_key(number, {4}));
  start();
  const auto reply = get(kPath);
  EXPECT_EQ(seqs(reply), (std::vector<std::uint64_t>{1, 2, 3, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(boost::json::serialize(json(reply).at("meta").at("corrupt")), "[4]");
}

TEST_F(BridgeHistory, EndsAPageOfLargeEntriesEarly) {
  const auto number = world_.create("talk");
  const std::string large(500'000, 'x');
  for (std::uint64_t seq = 1; seq <= 30; ++seq) {
    world_.append({world_.records().entry(number, {seq}, {storage::test::kMorning}, "ann", "i", large)});
  }
  start();
  for (const auto* direction : {"before=seq:31", "after=seq:0"}) {
    std::vector<std::uint64_t> seen;
    const bool down = std::string_view(direction).starts_with("before");
    auto reply = get(at(std::string("limit=1000&") + direction));
    while (true) {
      const auto page = seqs(reply);
      EXPECT_LT(page.size(), 12U);
      seen.insert(down ? seen.begin() : seen.end(), page.begin(), page.end());
      const auto next = cursor(reply, down ? "prev" : "next");
      if (!next) break;
      reply = get(at("limit=1000&cursor=" + *next));
    }
    EXPECT_EQ(seen, run(1, 30));
  }
}

TEST_F(BridgeHistory, ShowsWhatWasJustWritten) {
  const auto number = conversation("talk", 1);
  start();
  for (std::uint64_t seq = 2; seq <= 300; ++seq) {
    world_.say(number, seq, seq);
    if (seq % 7 == 0) world_.materialise();
    ASSERT_EQ(seqs(get(at("limit=1"))), run(seq, seq));
  }
}

TEST_F(BridgeHistory, WaitsForTheFirstEntry) {
  const auto number = conversation("talk", 5);
  start();
  auto waiting = std::async(std::launch::async, [&] { return get(at("after=seq:5&wait=30")); });
  EXPECT_EQ(waiting.wait_for(50ms), std::future_status::timeout);
  world_.say(number, 6, 7);
  EXPECT_EQ(seqs(waiting.get()), run(6, 7));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(seqs(get(at("after=seq:7&wait=1"))), run(1, 0));
  EXPECT_GE(std::chrono::steady_clock::now() - began, 990ms);
  EXPECT_EQ(seqs(get(at("after=seq:6&wait=30"))), run(7, 7)) << "there is something already";
}

TEST_F(BridgeHistory, WaitsForItsOwnConversationOnly) {
  const auto talk = conversation("talk", 5);
  const auto other = conversation("other", 5);
  start();
  HttpClient second(bridge_->port());
  auto waiting = std::async(std::launch::async, [&] { return get(at("after=seq:5&wait=30")); });
  auto second_waiting =
      std::async(std::launch::async, [&] { return second.get("/conversations/other/messages?after=seq:5&wait=30"); });
  world_.say(other, 6, 6);
  EXPECT_EQ(seqs(second_waiting.get()), run(6, 6));
  EXPECT_EQ(waiting.wait_for(100ms), std::future_status::timeout);
  world_.say(talk, 6, 6);
  EXPECT_EQ(seqs(waiting.get()), run(6, 6));
}

TEST_F(BridgeHistory, StopsWaitingWhenItIsStopped) {
  conversation("talk", 5);
  start();
  client_->send("GET " + at("after=seq:5&wait=60") + " HTTP/1.1\r\nHost: h\r\n\r\n");
  HttpClient idle(bridge_->port());
  EXPECT_EQ(idle.get("/healthz").status, 200U);
  const auto began = std::chrono::steady_clock::now();
  bridge_->terminate();
  EXPECT_EQ(seqs(client_->read()), run(1, 0));
  EXPECT_TRUE(idle.closed());
  EXPECT_EQ(bridge_->wait(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 8s);
  EXPECT_NE(bridge_->log().find("stopped"), std::string::npos);
}

TEST(Bridge, WaitsForADataDirectory) {
  const storage::test::TemporaryDirectory temporary;
  test::BridgeProcess bridge(temporary.path());
  HttpClient client(bridge.port());
  EXPECT_EQ(client.get("/healthz").status, 200U);
  const auto early = client.get(kPath);
  EXPECT_EQ(early.status, 503U);
  EXPECT_EQ(early.header("retry-after"), "1");
  EXPECT_EQ(client.get("/readyz").status, 503U);
  EXPECT_NE(bridge.log().find("waiting for a broker to make its data directory"), std::string::npos);

  std::filesystem::create_directories(temporary.path() + "/storage-0");
  const auto files = storage::Files::open_to_write(temporary.path() + "/storage-0", storage::test::small_files());
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  unsigned status = 503;
  while (status == 503 && std::chrono::steady_clock::now() < deadline) status = client.get(kPath).status;
  EXPECT_EQ(status, 404U) << "the history is there, and empty";
}

// -- HTTP itself --

/// A bridge in this process, with short limits and nothing to read.
class BridgeHttp : public ::testing::Test {
 protected:
  static BridgeOptions quick() {
    BridgeOptions options;
    options.listen_port = 0;
    options.data_dir = "/nonexistent/parley";
    options.allow_anonymous = true;
    options.idle_limit = options.header_limit = options.body_limit = 1s;
    options.request = {.header_max = 2'000, .body_max = 1'000};
    return options;
  }
  void start(BridgeOptions options = quick()) {
    bridge_.emplace(std::move(options));
    bridge_->start();
  }
  std::uint16_t port() { return bridge_->port(); }

  std::optional<Bridge> bridge_;
};

TEST_F(BridgeHttp, KeepsConnectionsAndTheOrderOfPipelinedRequests) {
  start();
  HttpClient client(port());
  client.send(
      "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /nothing HTTP/1.1\r\nHost: h\r\n\r\nHEAD /openapi.json "
      "HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.read().status, 200U);
  EXPECT_EQ(client.read().status, 404U);
  const auto head = client.read(true);
  EXPECT_EQ(head.status, 200U);
  EXPECT_EQ(head.header("content-length"), std::to_string(openapi_document().size()));
  EXPECT_EQ(client.get("/healthz").status, 200U);
}

TEST_F(BridgeHttp, ClosesWhenTheClientWantsThat) {
  start();
  HttpClient client(port());
  const auto reply = client.get("/healthz", {{"Connection", "close"}});
  EXPECT_EQ(reply.header("connection"), "close");
  EXPECT_TRUE(client.closed());
  HttpClient old(port());
  old.send("GET /healthz HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.read().status, 200U);
  EXPECT_TRUE(old.closed());
}

TEST_F(BridgeHttp, SaysWhatAPathTakes) {
  start();
  HttpClient client(port());
  const auto options = client.request("OPTIONS", kPath);
  EXPECT_EQ(options.status, 204U);
  EXPECT_EQ(options.header("allow"), "GET, HEAD, POST, OPTIONS");
  EXPECT_EQ(client.request("OPTIONS", "*").status, 204U);
  const auto refused = client.request("DELETE", "/healthz");
  EXPECT_EQ(refused.status, 405U);
  EXPECT_EQ(refused.header("allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(client.request("POST", "/metrics", {}, "x").status, 405U);
  EXPECT_EQ(client.request("HEAD", "/healthz").status, 200U);
}

TEST_F(BridgeHttp, RefusesWhatIsNoHttpAndCloses) {
  start();
  const std::string many(3'000, 'x');
  struct Case {
    std::string text;
    unsigned status;
  };
  const Case cases[] = {{"\x16\x03\x01\x02\r\n\r\n", 400},
                        {"GET /healthz HTTP/1.1\r\n\r\n", 400},
                        {"GET /healthz HTTP/1.1\r\nX: " + many + "\r\n\r\n", 431},
                        {"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n" + many, 413},
                        {"POST /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400}};
  for (const auto& wrong : cases) {
    HttpClient client(port());
    client.send(wrong.text);
    const auto reply = client.read();
    EXPECT_EQ(reply.status, wrong.status) << wrong.text.substr(0, 60);
    EXPECT_EQ(reply.header("connection"), "close");
    EXPECT_TRUE(client.closed());
  }
}

TEST_F(BridgeHttp, SendsContinueBeforeTheBody) {
  start();
  HttpClient client(port());
  client.send("POST /nothing HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(client.read_head().status, 100U);
  client.send("hello");
  EXPECT_EQ(client.read().status, 404U);
}

TEST_F(BridgeHttp, GivesUpOnSlowAndIdleClients) {
  start();
  HttpClient slow(port());
  slow.send("GET /healthz HTTP/1.1\r\nHo");
  HttpClient slow_body(port());
  slow_body.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nhell");
  HttpClient idle(port());
  EXPECT_EQ(slow.read().status, 408U);
  EXPECT_TRUE(slow.closed());
  EXPECT_EQ(slow_body.read().status, 408U);
  EXPECT_EQ(idle.read().status, 0U) << "an idle connection is closed without a word";
  EXPECT_TRUE(idle.closed());
}

TEST_F(BridgeHttp, LetsFurtherConnectionsWait) {
  auto options = quick();
  options.connections_max = 2;
  options.idle_limit = 60s;
  start(options);
  std::optional<HttpClient> first(port());
  HttpClient second(port());
  EXPECT_EQ(first->get("/healthz").status, 200U);
  EXPECT_EQ(second.get("/healthz").status, 200U);
  HttpClient third(port());
  auto waiting = std::async(std::launch::async, [&] { return third.get("/healthz"); });
  EXPECT_EQ(waiting.wait_for(50ms), std::future_status::timeout);
  first.reset();
  EXPECT_EQ(waiting.get().status, 200U);
}

TEST_F(BridgeHttp, SpreadsConnectionsOverItsThreads) {
  auto options = quick();
  options.threads = 3;
  start(options);
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 12; ++i) clients.push_back(std::make_unique<HttpClient>(port()));
  for (int round = 0; round < 20; ++round) {
    for (auto& client : clients) ASSERT_EQ(client->get("/healthz").status, 200U);
  }
  const auto metrics = clients[0]->get("/metrics").body;
  EXPECT_NE(metrics.find("parley_bridge_connections 12\n"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("parley_bridge_requests_total{code=\"200\"} 240\n"), std::string::npos) << metrics;
}

TEST_F(BridgeHttp, NeedsAUserWhereAnonymousOnesAreNotAllowed) {
  auto options = quick();
  options.allow_anonymous = false;
  start(options);
  HttpClient client(port());
  const auto reply = client.get(kPath, {{"Authorization", "Basic YTo="}});
  EXPECT_EQ(reply.status, 401U);
  EXPECT_TRUE(reply.headers.contains("www-authenticate"));
  EXPECT_EQ(client.get("/healthz").status, 200U);
}

TEST_F(BridgeHttp, SaysInOneSentenceThatItCannotListen) {
  start();
  auto options = quick();
  options.listen_port = port();
  try {
    Bridge second(options);
    FAIL() << "two on one port";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(std::string(error.what()),
              "bridge.listen: can't listen on 127.0.0.1:" + std::to_string(port()) + ": Address already in use");
  }
}

TEST_F(BridgeHttp, StopsWithoutHavingServedAnybody) {
  start();
  bridge_->stop();
  bridge_->stop();
}

}  // namespace
}  // namespace parley::bridge
