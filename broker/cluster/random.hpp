#pragma once

#include <cstdint>
#include <span>

namespace parley::cluster {

/// Fills `bytes` with random ones that nobody can predict (getrandom(2)). Any thread.
void fill_randomly(std::span<char> bytes);
std::uint64_t random_number();

}  // namespace parley::cluster
