# SPDX-License-Identifier: BSD-2-Clause
# Flags: the warnings target, reproducible paths, and what sanitizers, coverage and fuzzing need.
add_library(cbd-warnings INTERFACE)
target_compile_options(cbd-warnings INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wpointer-arith -Wvla -Wwrite-strings -Wundef)
if(CBD_WERROR)
    target_compile_options(cbd-warnings INTERFACE -Werror)
endif()

# The objects must not depend on where the tree was unpacked.
add_compile_options(
    -ffile-prefix-map=${CMAKE_BINARY_DIR}/=build/
    -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)

set(cbd_sanitizers ${CBD_SANITIZE})
if(CBD_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "CBD_FUZZ needs clang or afl-clang-fast, not ${CMAKE_C_COMPILER_ID}")
    endif()
    if(CBD_SANITIZE STREQUAL "none")
        set(cbd_sanitizers address,undefined)
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(NOT cbd_sanitizers STREQUAL "none")
    # Without recovery a finding ends the test instead of scrolling by.
    add_compile_options(-fsanitize=${cbd_sanitizers} -fno-sanitize-recover=all
                        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${cbd_sanitizers})
endif()
if(CBD_COVERAGE)
    add_compile_options(--coverage)
    add_link_options(--coverage)
endif()
# Bugs that can be switched on, for the simulator to find: core/include/cbd/canary.h.
if(CBD_CANARIES)
    add_compile_definitions(CBD_CANARIES)
endif()
