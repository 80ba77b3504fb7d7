#pragma once

#include <span>
#include <string_view>

namespace parley::config {

/// The name among `known` that takes the fewest single-character changes to reach from `word`; empty when even that is
/// no likely slip (more than a third of the word). Pure; any thread. Cost: the product of the lengths, for each name.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace parley::config
