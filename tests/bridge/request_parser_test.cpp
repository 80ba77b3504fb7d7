#include "bridge/request_parser.hpp"

#include <gtest/gtest.h>

namespace parley::bridge {
namespace {

using State = RequestParser::State;

/// Feeds `text` in pieces of `step` bytes, as a connection does.
State feed(RequestParser& parser, std::string_view text, std::size_t step, std::string& rest) {
  std::string input;
  for (std::size_t at = 0;;) {
    std::size_t used = 0;
    const auto state = parser.put(input, used);
    input.erase(0, used);
    if (state == State::Complete || state == State::Failed || at >= text.size()) {
      rest = input + std::string(text.substr(std::min(at, text.size())));
      return state;
    }
    input.append(text.substr(at, step));
    at += step;
  }
}

State parse(std::string_view text, Request& request, RequestLimits limits = {}, std::size_t step = 4'096) {
  RequestParser parser(limits);
  parser.start(request);
  std::string rest;
  return feed(parser, text, step, rest);
}

constexpr std::string_view kPost =
    "POST /x?y=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YTo=\r\ncontent-type: text/plain\r\n"
    "IDEMPOTENCY-KEY: k\r\nLast-Event-ID: 9\r\nIf-None-Match: W/\"1\"\r\nAccept-Encoding: gzip\r\nContent-Length: "
    "5\r\n\r\n"
    "hello";

TEST(RequestParser, ReadsWhatTheBridgeNeedsWhateverThePieces) {
  for (const std::size_t step : {1U, 2U, 7U, 50U, 4'096U}) {
    Request request;
    ASSERT_EQ(parse(kPost, request, {}, step), State::Complete) << step;
    EXPECT_EQ(request.method, Method::Post);
    EXPECT_EQ(request.target, "/x?y=1");
    EXPECT_TRUE(request.has_host);
    EXPECT_TRUE(request.keep_alive);
    EXPECT_EQ(request.authorization, "Basic YTo=");
    EXPECT_EQ(request.content_type, "text/plain");
    EXPECT_EQ(request.idempotency_key, "k");
    EXPECT_EQ(request.last_event_id, "9");
    EXPECT_EQ(request.if_none_match, "W/\"1\"");
    EXPECT_EQ(request.accept_encoding, "gzip");
    EXPECT_EQ(request.body, "hello");
  }
}

TEST(RequestParser, LeavesTheNextRequestAlone) {
  RequestParser parser({});
  Request request;
  parser.start(request);
  std::string rest;
  const std::string two = std::string(kPost) + "GET / HTTP/1.1\r\n\r\n";
  ASSERT_EQ(feed(parser, two, 4'096, rest), State::Complete);
  EXPECT_EQ(rest, "GET / HTTP/1.1\r\n\r\n");
  parser.start(request);
  ASSERT_EQ(feed(parser, rest, 4'096, rest), State::Complete);
  EXPECT_EQ(request.method, Method::Get);
  EXPECT_EQ(request.body, "") << "nothing of the first request is left";
  EXPECT_EQ(request.authorization, "");
}

TEST(RequestParser, ReadsChunks) {
  Request request;
  ASSERT_EQ(parse("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", request,
                  {}, 3),
            State::Complete);
  EXPECT_EQ(request.body, "abcde");
}

TEST(RequestParser, KnowsWhenTheConnectionEnds) {
  Request request;
  ASSERT_EQ(parse("GET / HTTP/1.0\r\n\r\n", request), State::Complete);
  EXPECT_FALSE(request.keep_alive);
  EXPECT_TRUE(request.http_1_0);
  ASSERT_EQ(parse("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", request), State::Complete);
  EXPECT_FALSE(request.keep_alive);
}

TEST(RequestParser, TellsThatTheHeaderIsComplete) {
  Request request;
  EXPECT_EQ(parse("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", request),
            State::HeaderComplete);
  EXPECT_TRUE(request.expects_continue);
  EXPECT_EQ(parse("POST / HTTP/1.1\r\nContent-Len", request), State::Incomplete);
}

TEST(RequestParser, RefusesWhatIsNoRequest) {
  for (const auto* text : {"\x16\x03\x01\r\n\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/2.0\r\n\r\n",
                           "GET / HTTP/1.1\r\nBad Field: x\r\n\r\n", "GET / HTTP/1.1\r\n: x\r\n\r\n",
                           "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                           "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
                           "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                           "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    Request request;
    RequestParser parser({});
    parser.start(request);
    std::string rest;
    EXPECT_EQ(feed(parser, text, 4'096, rest), State::Failed) << text;
    EXPECT_EQ(parser.problem(), Problem::MalformedRequest);
  }
}

TEST(RequestParser, HasLimits) {
  const RequestLimits limits{.header_max = 100, .body_max = 10};
  Request request;
  RequestParser parser(limits);
  std::string rest;
  parser.start(request);
  EXPECT_EQ(feed(parser, "GET / HTTP/1.1\r\nA: " + std::string(200, 'x') + "\r\n\r\n", 16, rest), State::Failed);
  EXPECT_EQ(parser.problem(), Problem::HeaderTooLarge);
  parser.start(request);
  EXPECT_EQ(feed(parser, "POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n", 16, rest), State::Failed);
  EXPECT_EQ(parser.problem(), Problem::TooLarge);
  parser.start(request);
  EXPECT_EQ(feed(parser, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n",
                 16, rest),
            State::Failed);
  EXPECT_EQ(parser.problem(), Problem::TooLarge);
}

}  // namespace
}  // namespace parley::bridge
