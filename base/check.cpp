#include "base/check.hpp"

#include <cstdio>
#include <cstdlib>

#include "base/log_thread.hpp"

namespace parley {

void check_failed(std::string_view condition, std::string_view sentence, const char* file, int line) {
  // What led to this comes first.
  if (log::LogThread* lines = log::LogThread::active()) lines->flush();
  std::fprintf(stderr, "parley stops: %.*s (%.*s, %s:%d)\n", static_cast<int>(sentence.size()), sentence.data(),
               static_cast<int>(condition.size()), condition.data(), file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace parley
