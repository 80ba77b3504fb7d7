// Asio compiled once for the whole tree; see BOOST_ASIO_SEPARATE_COMPILATION in cmake/dependencies.cmake.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
