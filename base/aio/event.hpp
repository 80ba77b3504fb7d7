#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>

/// Something has changed: coroutines of one thread wait here until another one on that thread says so.
namespace parley::aio {

namespace asio = boost::asio;

/// Belongs to one thread. Nothing is remembered: whoever waits looks at its condition first, and again after waking.
/// Memory: about 200 bytes.
class Event {
 public:
  explicit Event(const asio::any_io_executor& executor);
  Event(Event&&) noexcept;
  Event& operator=(Event&&) noexcept;
  ~Event();  ///< Nobody may be waiting any more.

  /// True after the next notify(); false when the waiting coroutine is cancelled, now or earlier.
  asio::awaitable<bool> wait();
  /// Wakes all that wait now. They run in later turns of the loop, so the caller's state may still change before.
  void notify();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace parley::aio
