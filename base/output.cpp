#include "base/output.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace parley {

BlockPool::~BlockPool() {
  for (char* block : kept_) delete[] block;
}

char* BlockPool::take() {
  if (kept_.empty()) return new char[kBlockSize];
  char* block = kept_.back();
  kept_.pop_back();
  return block;
}

void BlockPool::give(char* block) {
  if (kept_.size() >= kKeptMax) {
    delete[] block;
    return;
  }
  kept_.push_back(block);
}

BlockPool& BlockPool::local() {
  thread_local BlockPool pool;
  return pool;
}

void Output::open_block() {
  if (state_ == nullptr) state_ = std::make_unique<State>();
  state_->blocks.push_back({BlockPool::local().take(), 0, 0});
}

void Output::append_slowly(std::string_view bytes) {
  while (!bytes.empty()) {
    if (state_ == nullptr || state_->room() == 0) open_block();
    const std::size_t count = std::min(bytes.size(), state_->room());
    std::memcpy(state_->tail(), bytes.data(), count);
    state_->grow(count);
    bytes.remove_prefix(count);
  }
}

std::size_t Output::gather(std::span<iovec> iov) const {
  if (state_ == nullptr) return 0;
  std::size_t count = 0;
  for (std::size_t i = state_->first; i < state_->blocks.size() && count < iov.size(); ++i) {
    const Block& block = state_->blocks[i];
    if (block.end == block.begin) continue;
    iov[count++] = {block.data + block.begin, block.end - block.begin};
  }
  return count;
}

void Output::consume(std::size_t count) {
  if (count == 0) return;
  PARLEY_CHECK(count <= size(), "more bytes were consumed from an output than it holds");
  state_->size -= count;
  if (state_->size == 0) {
    clear();
    return;
  }
  while (count > 0) {
    Block& block = state_->blocks[state_->first];
    const std::size_t here = std::min<std::size_t>(count, block.end - block.begin);
    block.begin += static_cast<std::uint32_t>(here);
    count -= here;
    if (block.begin == block.end) {
      BlockPool::local().give(block.data);
      ++state_->first;
    }
  }
  if (state_->first > 64) {
    state_->blocks.erase(state_->blocks.begin(), state_->blocks.begin() + static_cast<std::ptrdiff_t>(state_->first));
    state_->first = 0;
  }
}

void Output::clear() {
  if (state_ == nullptr) return;
  for (std::size_t i = state_->first; i < state_->blocks.size(); ++i) BlockPool::local().give(state_->blocks[i].data);
  state_.reset();
}

}  // namespace parley
