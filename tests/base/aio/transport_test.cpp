#include "base/aio/transport.hpp"

#include <array>
#include <boost/asio/error.hpp>
#include <string>

#include "base/aio/within.hpp"
#include "tests/base/aio/run.hpp"

namespace parley::aio {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<Listener> listener_on(const asio::any_io_executor& executor) {
  auto listening = listen_tcp(executor, "127.0.0.1", 0);
  EXPECT_TRUE(listening);
  return *std::move(listening);
}

TEST(Transport, CarriesBytesInOrderUntilOneSideCloses) {
  test::run([]() -> asio::awaitable<void> {
    const auto listener = listener_on(co_await asio::this_coro::executor);
    auto connecting = connect_tcp("127.0.0.1", listener->port(), {.unsent_max = 65'536});
    auto here = co_await within(5s, std::move(connecting));
    if (!here) co_return ADD_FAILURE() << here.error().message();
    auto accepting = listener->accept();
    auto there = co_await within(5s, std::move(accepting));
    if (!there) co_return ADD_FAILURE() << there.error().message();
    EXPECT_EQ((*here)->address(), "127.0.0.1:" + std::to_string(listener->port()));

    std::string one = "gathered ";
    std::string two = "pieces";
    const std::array<iovec, 2> pieces{iovec{one.data(), one.size()}, iovec{two.data(), two.size()}};
    auto writing = (*here)->write_some(pieces);
    const auto written = co_await std::move(writing);
    EXPECT_EQ(written ? *written : 0, one.size() + two.size());
    (*here)->close();

    std::string got;
    std::array<char, 4> buffer{};
    for (;;) {
      auto reading = (*there)->read_some(buffer);
      const auto count = co_await std::move(reading);
      if (!count) {
        EXPECT_EQ(count.error(), asio::error::eof);
        break;
      }
      got.append(buffer.data(), *count);
    }
    EXPECT_EQ(got, one + two);
  }());
}

TEST(Transport, FailsWhereNobodyListens) {
  test::run([]() -> asio::awaitable<void> {
    const auto listener = listener_on(co_await asio::this_coro::executor);
    const std::uint16_t port = listener->port();
    listener->close();
    auto connecting = connect_tcp("127.0.0.1", port);
    const auto connected = co_await std::move(connecting);
    EXPECT_EQ(connected.error(), asio::error::connection_refused);
  }());
}

TEST(Transport, ListensOnAddressesOnly) {
  test::run([]() -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    EXPECT_FALSE(listen_tcp(executor, "no-address", 0));
    const auto listener = listener_on(executor);
    EXPECT_FALSE(listen_tcp(executor, "127.0.0.1", listener->port()));
  }());
}

}  // namespace
}  // namespace parley::aio
