# Everything comes from the distribution; scripts/install-dependencies names the packages.
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS system json url)
find_package(OpenSSL 3 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(toml11 REQUIRED)
find_package(ZLIB REQUIRED)
find_path(ARGON2_INCLUDE_DIR argon2.h REQUIRED)
find_library(ARGON2_LIBRARY argon2 REQUIRED)
find_path(LMDB_INCLUDE_DIR lmdb.h REQUIRED)
find_library(LMDB_LIBRARY lmdb REQUIRED)
find_path(HIREDIS_INCLUDE_DIR hiredis/hiredis.h REQUIRED)
find_library(HIREDIS_LIBRARY hiredis REQUIRED)

add_library(parley_lmdb INTERFACE)
target_include_directories(parley_lmdb SYSTEM INTERFACE ${LMDB_INCLUDE_DIR})
target_link_libraries(parley_lmdb INTERFACE ${LMDB_LIBRARY})

add_library(parley_argon2 INTERFACE)
target_include_directories(parley_argon2 SYSTEM INTERFACE ${ARGON2_INCLUDE_DIR})
target_link_libraries(parley_argon2 INTERFACE ${ARGON2_LIBRARY})

add_library(parley_hiredis INTERFACE)
target_include_directories(parley_hiredis SYSTEM INTERFACE ${HIREDIS_INCLUDE_DIR})
target_link_libraries(parley_hiredis INTERFACE ${HIREDIS_LIBRARY})

# Asio and Beast are compiled once, in base/aio/boost_asio.cpp and boost_beast.cpp.
add_library(parley_boost INTERFACE)
target_link_libraries(parley_boost INTERFACE Boost::system Boost::headers Threads::Threads OpenSSL::SSL OpenSSL::Crypto)
target_compile_definitions(parley_boost INTERFACE BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
                           BOOST_ASIO_NO_DEPRECATED)
