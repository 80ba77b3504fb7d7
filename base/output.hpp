#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

/// Bytes on their way out of one connection: appended by encoders, handed to a gathered write, consumed from the front.
///
/// Belongs to one thread. Blocks come from that thread's pool and go back as soon as they are written, so an empty
/// Output owns no memory beyond this object (24 bytes). No I/O: the shell writes what `gather` shows.
namespace parley {

/// Blocks of one thread, kept for reuse up to a bound.
class BlockPool {
 public:
  static constexpr std::size_t kBlockSize = 8 * 1024;

  ~BlockPool();
  char* take();
  void give(char* block);
  /// The calling thread's pool.
  static BlockPool& local();

 private:
  static constexpr std::size_t kKeptMax = 2048;
  std::vector<char*> kept_;
};

class Output {
 public:
  Output() = default;
  Output(Output&&) noexcept = default;
  Output& operator=(Output&& other) noexcept {
    clear();
    state_ = std::move(other.state_);
    return *this;
  }
  ~Output() { clear(); }

  [[nodiscard]] std::size_t size() const { return state_ ? state_->size : 0; }
  [[nodiscard]] bool empty() const { return size() == 0; }

  void append(std::string_view bytes) {
    if (bytes.empty()) return;  // Perhaps a view of nothing at all.
    if (state_ != nullptr && state_->room() >= bytes.size()) {
      std::memcpy(state_->tail(), bytes.data(), bytes.size());
      state_->grow(bytes.size());
      return;
    }
    append_slowly(bytes);
  }

  /// `count` (≤ BlockPool::kBlockSize) writable bytes in one piece at the end; they count as written. Encoders that
  /// know their size write there directly. Valid until the next call on this object.
  char* extend(std::size_t count) {
    if (state_ == nullptr || state_->room() < count) open_block();
    char* begin = state_->tail();
    state_->grow(count);
    return begin;
  }

  /// Up to `iov.size()` pieces from the front, in order; returns how many were filled.
  std::size_t gather(std::span<iovec> iov) const;
  /// Drops `count` bytes from the front; their blocks return to the pool.
  void consume(std::size_t count);
  void clear();

 private:
  struct Block {
    char* data;
    std::uint32_t begin;
    std::uint32_t end;
  };
  struct State {
    std::vector<Block> blocks;
    std::size_t first = 0;  ///< Index of the first unconsumed block.
    std::size_t size = 0;

    [[nodiscard]] std::size_t room() const {
      return blocks.size() > first ? BlockPool::kBlockSize - blocks.back().end : 0;
    }
    char* tail() { return blocks.back().data + blocks.back().end; }
    void grow(std::size_t count) {
      blocks.back().end += static_cast<std::uint32_t>(count);
      size += count;
    }
  };

  void append_slowly(std::string_view bytes);
  void open_block();

  std::unique_ptr<State> state_;
};

}  // namespace parley
