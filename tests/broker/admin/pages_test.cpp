#include "broker/admin/pages.hpp"

#include <gtest/gtest.h>

#include "tests/broker/admin/fake_node.hpp"

namespace parley::admin {
namespace {

TEST(AdminPages, ShowHowTheNodeStands) {
  test::FakeNode node;
  EXPECT_EQ(answer({"GET", "/v1/status"}, node).body,
            R"({"node":"a","version":"1.0","pid":7,"uptime_seconds":60,"threads":2,"cluster":{"name":"parley",)"
            R"("id":"00000000000000ab","redis":true,"clients":0,"nodes":2,"nodes_up":1,"slots":2,"slots_led_here":1,)"
            R"("slots_without_leader":1}})");
  node.clustered = false;
  EXPECT_EQ(answer({"GET", "/v1/status"}, node).body,
            R"({"node":"a","version":"1.0","pid":7,"uptime_seconds":60,"threads":2,"cluster":null})");
}

TEST(AdminPages, ShowNodesAndSlots) {
  test::FakeNode node;
  EXPECT_EQ(
      answer({"GET", "/v1/nodes"}, node).body,
      R"([{"name":"a","id":"1","address":"h:1","state":"self","since_seconds":0,"draining":false,"leaving":false,"lease":false,)"
      R"("slots":0,"leading":0,"round_trip_us":0,"protocol":0},{"name":"b \"x\"","id":"2","address":"h:2","state":"down",)"
      R"("since_seconds":3,"draining":true,"leaving":false,"lease":false,"slots":0,"leading":0,"round_trip_us":0,"protocol":0}])");
  EXPECT_EQ(
      answer({"GET", "/v1/slots"}, node).body,
      R"([{"slot":0,"leader":"a","term":2,"replicas":["a","b"],"learners":[],"pinned":"","last":9,"commit":8,"whole":true},)"
      R"({"slot":1,"leader":"","term":0,"replicas":[],"learners":[],"pinned":"","last":0,"commit":0,"whole":false}])");
}

TEST(AdminPages, TellTheNodeWhatToDo) {
  test::FakeNode node;
  for (const auto* target : {"/v1/nodes/b/drain", "/v1/nodes/b%20c/undrain", "/v1/nodes/%C3%A4/remove"}) {
    EXPECT_EQ(answer({"POST", target}, node).status, 200U);
  }
  EXPECT_EQ(node.told, (std::vector<std::string>{"drain b", "undrain b c", "remove \xC3\xA4"}));
  node.refusal = "no such node";
  const auto refused = answer({"POST", "/v1/nodes/x/drain"}, node);
  EXPECT_EQ(refused.status, 409U);
  EXPECT_EQ(refused.body, R"({"error":"refused","message":"no such node"})");
}

TEST(AdminPages, PassOnWhereASlotShallBe) {
  test::FakeNode node;
  EXPECT_EQ(answer({"POST", "/v1/slots/7:b%20c/move"}, node).status, 200U);
  EXPECT_EQ(answer({"POST", "/v1/slots/255/release"}, node).status, 200U);
  EXPECT_EQ(node.told, (std::vector<std::string>{"move 7 to b c", "release 255"}));
  for (const auto* target : {"/v1/slots/7/move", "/v1/slots/x:b/move", "/v1/slots/-1:b/move", "/v1/slots/7x:b/move",
                             "/v1/slots/7:b/release", "/v1/slots/99999999999999999999/release"}) {
    EXPECT_EQ(answer({"POST", target}, node).status, 400U) << target;
  }
  EXPECT_EQ(node.told.size(), 2U);
  node.refusal = "there is no node \"x\"";
  EXPECT_EQ(answer({"POST", "/v1/slots/7:x/move"}, node).status, 409U);
}

TEST(AdminPages, ShowClients) {
  test::FakeNode node;
  const std::string phone =
      R"({"client_id":"a/ph\"one","user":"ann","node":"b","connected":true,"address":"10.0.0.1:99","transport":"tls",)"
      R"("version":"5.0","connected_seconds":60,"subscriptions":3,"inflight":2,"queued":1,"expiry_seconds":3600})";
  EXPECT_EQ(answer({"GET", "/v1/clients"}, node).body, "[" + phone + "]");
  EXPECT_EQ(answer({"GET", "/v1/clients?user=&after=b%26c&limit=1000&prefix=a%2F&absent=true"}, node).status, 200U);
  EXPECT_EQ(node.told, (std::vector<std::string>{"list |-||100", "list a/||b&c|1000|absent"}));
  EXPECT_EQ(answer({"GET", "/v1/clients/a%2Fph%22one"}, node).body, phone);
  EXPECT_EQ(answer({"GET", "/v1/clients/else"}, node).status, 404U);
  node.busy = true;
  EXPECT_EQ(answer({"GET", "/v1/clients"}, node).status, 503U);
}

TEST(AdminPages, KickClients) {
  test::FakeNode node;
  EXPECT_EQ(answer({"POST", "/v1/clients/a%2Fph%22one/kick"}, node).status, 200U);
  EXPECT_EQ(answer({"POST", "/v1/clients/a%2Fph%22one/kick?reason=go%20away"}, node).status, 200U);
  EXPECT_EQ(answer({"POST", "/v1/clients/else/kick"}, node).status, 404U);
  EXPECT_EQ(node.told,
            (std::vector<std::string>{"kick a/ph\"one for ", "kick a/ph\"one for go away", "kick else for "}));
}

TEST(AdminPages, RefuseQueriesThatTheyDontTake) {
  test::FakeNode node;
  for (const auto* target :
       {"/v1/clients?limit=0", "/v1/clients?limit=1001", "/v1/clients?limit=1:b",
        "/v1/clients?limit=", "/v1/clients?colour=red", "/v1/clients?user=a&user=b", "/v1/clients?user=%zz",
        "/v1/clients?=", "/v1/clients? prefix=", "/v1/nodes?limit=1", "/v1/clients/x?limit=1"}) {
    EXPECT_EQ(answer({"GET", target}, node).status, 400U) << target;
  }
  EXPECT_EQ(answer({"POST", "/v1/clients/x/kick?reason=a%0Ab"}, node).status, 400U);
  EXPECT_EQ(answer({"POST", "/v1/clients/x/kick?reason=" + std::string(257, 'x')}, node).status, 400U);
  EXPECT_EQ(answer({"POST", "/v1/clients"}, node).status, 405U);
  EXPECT_EQ(answer({"GET", "/v1/clients/"}, node).status, 404U);
  EXPECT_TRUE(node.told.empty());
}

TEST(AdminPages, EraseUsersAndShowHowFarThatIs) {
  test::FakeNode node;
  EXPECT_EQ(answer({"POST", "/v1/users/ann%20b/erase"}, node).body, "{\"ok\":true}");
  EXPECT_EQ(node.told, std::vector<std::string>{"erase ann b"});
  EXPECT_EQ(answer({"GET", "/v1/erasures"}, node).body,
            R"([{"user":"ann","state":"open","started":5,"messages":2,"slots":3,"slots_done":1,"slots_all":4}])");
  node.refusal = "why not";
  EXPECT_EQ(answer({"POST", "/v1/users/ann/erase"}, node).status, 409U);
  EXPECT_EQ(answer({"GET", "/v1/users/ann/erase"}, node).status, 405U);
}

TEST(AdminPages, RefuseWhatIsntThere) {
  test::FakeNode node;
  for (const auto* target : {"", "/", "/v1/status/", "/v1/nodes//drain", "/v1/nodes/a/b/drain", "/v1/nodes/%4/drain",
                             "/v1/nodes/%zz/drain", "/v1/nodes/drain"}) {
    EXPECT_EQ(answer({"POST", target}, node).status, 404U) << target;
  }
  EXPECT_EQ(answer({"POST", "/v1/status"}, node).status, 405U);
  EXPECT_EQ(answer({"GET", "/v1/nodes/b/drain"}, node).status, 405U);
  EXPECT_TRUE(node.told.empty());
}

TEST(AdminPages, HaveTheMetricsAsText) {
  test::FakeNode node;
  const auto got = answer({"GET", "/metrics"}, node);
  EXPECT_EQ(got.status, 200U);
  EXPECT_EQ(got.body, "parley_sessions 3\n");
  EXPECT_NE(http_response(got).find("Content-Type: text/plain; version=0.0.4\r\n"), std::string::npos);
}

}  // namespace
}  // namespace parley::admin
