# One place for language level, warnings and sanitizers; every target inherits it.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

set(PARLEY_SANITIZE "" CACHE STRING "Sanitizers for the whole tree, as in -fsanitize=…: address,undefined or thread")
option(PARLEY_FUZZ "Build the libFuzzer targets (clang++ only)" OFF)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wconversion -Wshadow -Wno-missing-field-initializers -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports the first two inside its own and Boost's headers once they are inlined (gcc bugs 105562, 107138), and the
  # third for coroutines: it takes the frame's operator new for another one than that of its operator delete.
  add_compile_options(-Wno-maybe-uninitialized -Wno-restrict -Wno-mismatched-new-delete)
endif()
add_compile_definitions(_FORTIFY_SOURCE=2)
if(PARLEY_SANITIZE)
  add_compile_options(-fsanitize=${PARLEY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined -U_FORTIFY_SOURCE)
  add_link_options(-fsanitize=${PARLEY_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_compile_options(-fno-sanitize=function)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_options(-U_FORTIFY_SOURCE)
endif()
