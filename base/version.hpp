#pragma once

#include <string_view>

namespace parley {

/// Of all programs, such as "0.1.0"; the build sets it (project VERSION in CMakeLists.txt).
std::string_view version();

}  // namespace parley
