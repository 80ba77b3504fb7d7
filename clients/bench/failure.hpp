#pragma once

#include <stdexcept>
#include <string>

namespace parley::bench {

/// Why a run can't go on: the broker is away, refuses, or is too slow. Caught in main (or by compare, which goes on
/// with the next run) and printed as one sentence.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws a Failure that ends in the system's word for `errno`.
[[noreturn]] void fail_with_errno(const std::string& what);

}  // namespace parley::bench
