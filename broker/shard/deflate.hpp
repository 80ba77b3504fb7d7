#pragma once

#include <string>
#include <string_view>

namespace parley::shard {

/// As a zlib stream (RFC 1950); empty when that isn't shorter, or can't be made. Costs about 270 kB while it works.
std::string deflated(std::string_view bytes);

}  // namespace parley::shard
