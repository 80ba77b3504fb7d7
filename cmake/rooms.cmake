# parley_room(NAME SOURCES… LINKS …): one static library for one room; its headers are included by path from the root.
function(parley_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS" ${ARGN})
  add_library(parley_${name} STATIC ${ROOM_SOURCES})
  target_include_directories(parley_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(parley_${name} PUBLIC ${ROOM_LINKS})
endfunction()

# parley_test(NAME SOURCES… LINKS …): one GoogleTest program; every TEST is its own entry in ctest.
function(parley_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;LINKS" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  add_executable(${name} ${TEST_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${TEST_LINKS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE PARLEY_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                             PARLEY_BINARY_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT ${TEST_TIMEOUT})
endfunction()

# parley_fuzzer(NAME SOURCE LINKS …): a libFuzzer program with PARLEY_FUZZ, else a test that replays tests/fuzz/corpus/NAME.
function(parley_fuzzer name source)
  add_executable(${name} ${source})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARGN})
  if(PARLEY_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cpp)
    add_test(NAME fuzz_corpus.${name} COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  endif()
endfunction()
