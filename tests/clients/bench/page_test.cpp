#include "clients/bench/page.hpp"

#include <gtest/gtest.h>

#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

TEST(ReadHead, WaitsForTheEmptyLine) {
  const std::string whole = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length:  12 \r\n\r\n";
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(read_head(whole.substr(0, size))) << size;
  const auto head = read_head(whole + "{\"data\":[]}");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200U);
  EXPECT_EQ(head->size, whole.size());
  EXPECT_EQ(head->body_size, 12U);
}

TEST(ReadHead, RefusesWhatItCannotRead) {
  for (const std::string head :
       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        "HTTP/1.1 abc OK\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1\r\n\r\n", "SSH-2.0\r\n\r\n"}) {
    EXPECT_THROW(read_head(head), Failure) << head;
  }
  EXPECT_THROW(read_head(std::string(100'000, 'x')), Failure);
}

TEST(ReadPage, CountsEntriesAndSeesGaps) {
  const struct {
    const char* body;
    std::size_t entries;
    std::uint64_t first, last;
    bool dense;
  } rows[] = {
      {R"({"data":[],"meta":{}})", 0, 0, 0, true},
      {R"({"data":[{"seq":7,"text":"a"}]})", 1, 7, 7, true},
      {R"({"data":[{"seq":7},{"seq":8},{"seq":9}],"meta":{"head":9}})", 3, 7, 9, true},
      {R"({"data":[{"seq":7},{"seq":9}]})", 2, 7, 9, false},
      {R"({"data":[{"seq":8},{"seq":7}]})", 2, 8, 7, false},
      {R"({"data":[{"seq":)", 1, 0, 0, true},
  };
  for (const auto& row : rows) {
    const Page page = read_page(row.body);
    EXPECT_EQ(page.entries, row.entries) << row.body;
    EXPECT_EQ(page.first, row.first) << row.body;
    EXPECT_EQ(page.last, row.last) << row.body;
    EXPECT_EQ(page.dense, row.dense) << row.body;
  }
}

TEST(PageRequest, IsOneHttpRequest) {
  EXPECT_EQ(to_http({.host = "127.0.0.1:8080", .conversation = "dm:a b", .limit = 20}),
            "GET /v1/conversations/dm%3Aa%20b/messages?limit=20 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
  EXPECT_EQ(to_http({.host = "h", .conversation = "c", .limit = 5, .before = 99, .authorization = "Bearer x"}),
            "GET /v1/conversations/c/messages?limit=5&before=seq:99 HTTP/1.1\r\nHost: h\r\n"
            "Authorization: Bearer x\r\n\r\n");
}

}  // namespace
}  // namespace parley::bench
