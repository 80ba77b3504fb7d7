#include "clients/bench/failure.hpp"

#include <cerrno>
#include <system_error>

namespace parley::bench {

void fail_with_errno(const std::string& what) { throw Failure(what + ": " + std::generic_category().message(errno)); }

}  // namespace parley::bench
