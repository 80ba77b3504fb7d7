#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/time.hpp"

/// The load generator's event loop: epoll and nothing around it, because on one core it has to be several times
/// cheaper per message than the broker it measures.
namespace parley::bench {

/// Belongs to one thread, which runs turns: wait, let every ready handler read, then flush what was written meanwhile,
/// so that a connection costs one write a turn.
class Loop {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void handle(std::uint32_t events) = 0;
    virtual void flush() = 0;
  };

  Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();

  /// The handler must stay where it is until `remove`; neither may happen inside another handler's `handle`.
  void add(int descriptor, std::uint32_t events, Handler& handler);
  void change(int descriptor, std::uint32_t events, Handler& handler);
  void remove(int descriptor);
  /// `handler.flush()` is called before the next wait. Call once per handler and turn.
  void flush_later(Handler& handler) { unflushed_.push_back(&handler); }
  /// A handler that goes away before its flush.
  void forget_flush(const Handler& handler) { std::erase(unflushed_, &handler); }

  /// One turn; waits at most until `wake`.
  void turn(Instant wake);
  /// Turns until `done` or `deadline`; false in the second case. `done` is asked after each turn and its flush.
  bool run_until(const std::function<bool()>& done, Instant deadline);

  static Instant now() { return std::chrono::steady_clock::now(); }
  /// One read buffer for all: bytes in it are valid within one `handle`.
  std::span<char> read_buffer() { return {read_buffer_.get(), kReadBufferSize}; }

 private:
  static constexpr std::size_t kReadBufferSize = 512UL * 1024;
  void flush();

  int epoll_ = -1;
  std::unique_ptr<char[]> read_buffer_;
  std::vector<Handler*> unflushed_;
  std::vector<Handler*> flushing_;
};

}  // namespace parley::bench
