#include "bridge/response.hpp"

#include <gtest/gtest.h>

namespace parley::bridge {
namespace {

std::string head_of(const Response& response, const ResponseForm& form) {
  std::string head;
  append_head(head, response, form);
  return head;
}

TEST(Response, IsWrittenWithItsLength) {
  Response response;
  response.body = "{}";
  response.add_header("ETag", "W/\"1\"");
  EXPECT_EQ(head_of(response, {.date = "D"}),
            "HTTP/1.1 200 OK\r\nDate: D\r\nCache-Control: no-store\r\nContent-Type: application/json\r\n"
            "X-Content-Type-Options: nosniff\r\nETag: W/\"1\"\r\nContent-Length: 2\r\n\r\n");
}

TEST(Response, HasNoLengthWithoutABody) {  // RFC 9110 §8.6
  for (const unsigned status : {204U, 304U}) {
    Response response;
    response.status = status;
    EXPECT_EQ(head_of(response, {.date = "D"}).find("Content-"), std::string::npos);
  }
}

TEST(Response, SaysWhatBecomesOfTheConnection) {
  EXPECT_NE(head_of({}, {.keep_alive = false}).find("\r\nConnection: close\r\n"), std::string::npos);
  EXPECT_NE(head_of({}, {.http_1_0 = true}).find("HTTP/1.0 200 OK\r\n"), std::string::npos);
  EXPECT_NE(head_of({}, {.http_1_0 = true}).find("\r\nConnection: keep-alive\r\n"), std::string::npos);
}

TEST(Response, OfAProblemReplacesWhatWasThere) {
  Response response;
  response.body = "half a page";
  response.add_header("Link", "<x>");
  response.set_problem({.problem = Problem::BrokerUnavailable});
  EXPECT_EQ(response.status, 503U);
  EXPECT_EQ(response.content_type, "application/problem+json");
  EXPECT_EQ(response.headers, "Retry-After: 1\r\n");
  EXPECT_TRUE(response.body.starts_with("{\"type\":\"urn:parley:problem:broker-unavailable\""));
  response.set_problem({.problem = Problem::NotAuthenticated});
  EXPECT_EQ(response.headers, "WWW-Authenticate: Basic realm=\"parley\", charset=\"UTF-8\"\r\n");
}

TEST(Response, KnowsThePhraseOfEveryProblemsStatus) {
  for (const auto& rule : problems()) EXPECT_NE(reason_phrase(rule.status), "Unknown") << rule.status;
}

TEST(HttpDate, IsWrittenInItsFixedForm) {  // RFC 9110 §5.6.7
  EXPECT_EQ(http_date(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");
}

}  // namespace
}  // namespace parley::bridge
