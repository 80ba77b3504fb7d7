#pragma once

#include <string_view>

/// Invariants whose breach would corrupt data: checked in release builds too. Input from outside never reaches one.
namespace parley {

/// Writes one sentence to standard error and aborts. Any thread.
[[noreturn]] void check_failed(std::string_view condition, std::string_view sentence, const char* file, int line);

}  // namespace parley

#define PARLEY_CHECK(condition, sentence)                                 \
  do {                                                                    \
    if (!(condition)) [[unlikely]]                                        \
      ::parley::check_failed(#condition, (sentence), __FILE__, __LINE__); \
  } while (false)
