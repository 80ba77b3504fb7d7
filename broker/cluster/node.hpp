#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.hpp"
#include "base/number.hpp"

namespace parley {

using NodeId = Number<struct NodeTag>;  ///< One node of a cluster; 0 is none.

/// The same name gives the same id on every node and after every restart; never 0.
constexpr NodeId node_id(std::string_view name) {
  const std::uint64_t hash = stable_hash(name);
  return {hash == 0 ? 1 : hash};
}

}  // namespace parley
