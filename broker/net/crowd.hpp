#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace parley::net {

/// Something shared by all who have the same name, while there is one of them. Any thread; the mutex guards the table,
/// and nothing else is taken while it is held. A place that nobody has any more stays in the table until it has
/// doubled.
template <class Shared>
class Crowd {
 public:
  std::shared_ptr<Shared> join(std::string_view name) {
    const std::lock_guard lock(mutex_);
    auto& place = places_[std::string(name)];
    auto shared = place.lock();
    if (!shared) place = shared = std::make_shared<Shared>();
    if (places_.size() > swept_ * 2 + kSweepMin) sweep();
    return shared;
  }
  [[nodiscard]] std::size_t size() {
    const std::lock_guard lock(mutex_);
    sweep();
    return places_.size();
  }

 private:
  static constexpr std::size_t kSweepMin = 1024;

  void sweep() {
    std::erase_if(places_, [](const auto& one) { return one.second.expired(); });
    swept_ = places_.size();
  }

  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<Shared>> places_;
  std::size_t swept_ = 0;
};

/// One of so many. Counted while it lives.
class CountedPlace {
 public:
  using Count = std::atomic<std::uint32_t>;

  CountedPlace() = default;
  explicit CountedPlace(std::shared_ptr<Count> count) : count_(std::move(count)) { count_->fetch_add(1); }
  CountedPlace(CountedPlace&& other) noexcept : count_(std::move(other.count_)) {}
  CountedPlace& operator=(CountedPlace&& other) noexcept {
    std::swap(count_, other.count_);
    return *this;
  }
  ~CountedPlace() {
    if (count_) count_->fetch_sub(1);
  }
  /// How many there are, this one included; 0: this is none.
  [[nodiscard]] std::uint32_t count() const { return count_ ? count_->load() : 0; }

 private:
  std::shared_ptr<Count> count_;
};

}  // namespace parley::net
