#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/result.hpp"
#include "base/time.hpp"

/// A deadline for anything that can be awaited.
namespace parley::aio {

namespace asio = boost::asio;

namespace detail {

template <class T>
struct WithinValue {
  using type = T;
};
template <class T>
struct WithinValue<Result<T>> {
  using type = T;
};

template <class T>
asio::awaitable<void> keep_result(asio::awaitable<T> operation, std::optional<T>& result) {
  result.emplace(co_await std::move(operation));
}

}  // namespace detail

/// Runs `operation` to its end; after `limit` its waits are cancelled first. True when it ended in time. Whatever it
/// refers to must outlive its end, which this waits for.
asio::awaitable<bool> finished_within(Duration limit, asio::awaitable<void> operation);

/// The result of `operation`, or boost::system::errc::timed_out when it took longer than `limit` and was cancelled. An
/// operation that returns Result<T> gives Result<T>, not a nested one. Costs two allocations and a timer: for steps of
/// a conversation with a peer, not for each byte.
template <class T>
asio::awaitable<Result<typename detail::WithinValue<T>::type>> within(Duration limit, asio::awaitable<T> operation) {
  std::optional<T> result;
  auto kept = detail::keep_result(std::move(operation), result);
  const bool in_time = co_await finished_within(limit, std::move(kept));
  if (!in_time || !result) co_return boost::system::errc::make_error_code(boost::system::errc::timed_out);
  co_return *std::move(result);
}

inline asio::awaitable<Result<void>> within(Duration limit, asio::awaitable<void> operation) {
  const bool in_time = co_await finished_within(limit, std::move(operation));
  if (!in_time) co_return boost::system::errc::make_error_code(boost::system::errc::timed_out);
  co_return Result<void>();
}

}  // namespace parley::aio
