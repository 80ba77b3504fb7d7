#include "base/aio/within.hpp"

#include <memory>
#include <stdexcept>
#include <string>

#include "tests/base/aio/run.hpp"

namespace parley::aio {
namespace {

using namespace std::chrono_literals;
using boost::system::errc::timed_out;

asio::awaitable<std::string> answer(Duration after) {
  co_await test::rest(after);
  co_return "answer";
}

asio::awaitable<Result<std::unique_ptr<int>>> refuse() { co_return boost::system::errc::make_error_code(timed_out); }

asio::awaitable<int> fail() {
  throw std::runtime_error("broken");
  co_return 1;
}

TEST(Within, GivesTheResultOfWhatEndsInTime) {
  test::run([]() -> asio::awaitable<void> {
    auto operation = answer(1ms);
    const auto result = co_await within(10s, std::move(operation));
    EXPECT_TRUE(result.has_value());
    EXPECT_EQ(*result, "answer");
  }());
}

TEST(Within, CancelsWhatTakesTooLong) {
  test::run([]() -> asio::awaitable<void> {
    const auto began = std::chrono::steady_clock::now();
    auto operation = answer(1h);
    const auto result = co_await within(5ms, std::move(operation));
    EXPECT_EQ(result.error(), timed_out);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 20s);
  }());
}

TEST(Within, DoesNotNestResults) {
  test::run([]() -> asio::awaitable<void> {
    auto operation = refuse();
    const Result<std::unique_ptr<int>> result = co_await within(10s, std::move(operation));
    EXPECT_EQ(result.error(), timed_out);
  }());
}

TEST(Within, TakesOperationsWithoutAResult) {
  test::run([]() -> asio::awaitable<void> {
    auto quick = []() -> asio::awaitable<void> { co_await test::rest(0ms); };
    auto operation = quick();
    const auto result = co_await within(10s, std::move(operation));
    EXPECT_TRUE(result.has_value());
  }());
}

TEST(Within, LetsExceptionsThrough) {
  bool caught = false;
  auto body = [](bool* seen) -> asio::awaitable<void> {
    try {
      auto operation = fail();
      const auto result = co_await within(10s, std::move(operation));
      EXPECT_TRUE(false) << "no exception, but " << result.has_value();
    } catch (const std::runtime_error&) {
      *seen = true;
    }
  };
  test::run(body(&caught));
  EXPECT_TRUE(caught);
}

TEST(Within, NestsTheShorterDeadlineWins) {
  test::run([]() -> asio::awaitable<void> {
    auto innermost = answer(1h);
    auto inner = within(1h, std::move(innermost));
    const auto result = co_await within(5ms, std::move(inner));
    EXPECT_EQ(result.error(), timed_out);
  }());
}

}  // namespace
}  // namespace parley::aio
