#include "broker/net/system_random.hpp"

#include <sys/random.h>

#include "base/check.hpp"

namespace parley::net {

std::uint64_t SystemRandom::next() {
  if (used_ == numbers_.size()) {
    const auto got = ::getrandom(numbers_.data(), sizeof numbers_, 0);  // So few bytes always come whole.
    PARLEY_CHECK(got == static_cast<ssize_t>(sizeof numbers_), "the kernel gives no random numbers");
    used_ = 0;
  }
  return numbers_[used_++];
}

}  // namespace parley::net
