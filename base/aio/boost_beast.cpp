// Beast compiled once for the whole tree; see BOOST_BEAST_SEPARATE_COMPILATION in cmake/dependencies.cmake.
#include <boost/beast/src.hpp>
