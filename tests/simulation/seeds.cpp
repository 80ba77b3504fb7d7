#include "tests/simulation/seeds.hpp"

#include <cstdlib>
#include <numeric>

namespace parley::simulation {

std::vector<std::uint64_t> seeds(std::uint64_t usually) {
  if (const char* one = std::getenv("PARLEY_SEED")) return {std::strtoull(one, nullptr, 10)};
  if (const char* count = std::getenv("PARLEY_SEEDS")) usually = std::strtoull(count, nullptr, 10);
  const char* first = std::getenv("PARLEY_FIRST_SEED");
  std::vector<std::uint64_t> list(usually);
  std::iota(list.begin(), list.end(), first != nullptr ? std::strtoull(first, nullptr, 10) : 1);
  return list;
}

}  // namespace parley::simulation
