#pragma once

#include <cstdint>
#include <vector>

namespace parley::simulation {

/// Which seeds a test runs: the one in PARLEY_SEED; else as many as PARLEY_SEEDS says, else `usually` many, from
/// PARLEY_FIRST_SEED or 1 on.
std::vector<std::uint64_t> seeds(std::uint64_t usually);

}  // namespace parley::simulation
