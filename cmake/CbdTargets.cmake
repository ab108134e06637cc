# SPDX-License-Identifier: BSD-2-Clause
# The few shapes that a target of this project can have. Unnamed arguments count as SOURCES.
#
#   cbd_add_library(NAME [PURE] SOURCES a.c ... [LIBS x ...])   static library
#   cbd_add_tool(NAME [ADMIN] SOURCES a.c ... [LIBS x ...])     installed program in bin/, ADMIN: sbin/
#   cbd_add_unit_test(NAME SOURCES a.c ... [LIBS x ...] [LABELS l ...] [TIMEOUT seconds]
#                     [NO_VALGRIND])                            cmocka test, label "unit"
#   cbd_add_script_test(NAME SCRIPT [LABELS l ...] [TIMEOUT seconds])
#                                                               exit code 77 means skipped
#
# PURE is for code that must not see the system's interfaces: _GNU_SOURCE is not defined for it.

find_program(CBD_VALGRIND valgrind)

function(cbd_add_library name)
    cmake_parse_arguments(arg "PURE" "" "SOURCES;LIBS" ${ARGN})
    add_library(${name} STATIC ${arg_SOURCES} ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PRIVATE cbd-warnings PUBLIC ${arg_LIBS})
    if(NOT arg_PURE)
        target_compile_definitions(${name} PRIVATE "_GNU_SOURCE=")
    endif()
endfunction()

function(cbd_add_program name)
    cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
    add_executable(${name} ${arg_SOURCES} ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PRIVATE cbd-warnings ${arg_LIBS})
    target_compile_definitions(${name} PRIVATE "_GNU_SOURCE=")
endfunction()

function(cbd_add_tool name)
    cmake_parse_arguments(arg "ADMIN" "" "" ${ARGN})
    cbd_add_program(${name} ${arg_UNPARSED_ARGUMENTS})
    if(arg_ADMIN)
        install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
    else()
        install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    endif()
endfunction()

# Every test starts with the same locale, time zone and sanitizer behaviour.
function(cbd_set_test_environment name)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
        LC_ALL=C TZ=UTC
        CBD_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
        CBD_SOURCE_DIR=${CMAKE_SOURCE_DIR}
        ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1
        UBSAN_OPTIONS=print_stacktrace=1
        TSAN_OPTIONS=halt_on_error=1)
endfunction()

function(cbd_add_unit_test name)
    cmake_parse_arguments(arg "NO_VALGRIND" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 60)
    endif()
    if(NOT TARGET PkgConfig::CMOCKA)
        pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
    endif()
    cbd_add_program(${name} SOURCES ${arg_SOURCES} ${arg_UNPARSED_ARGUMENTS}
                    LIBS ${arg_LIBS} PkgConfig::CMOCKA)
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/tests)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES
        LABELS "unit;${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77)
    cbd_set_test_environment(${name})
    if(CBD_VALGRIND AND cbd_sanitizers STREQUAL "none" AND NOT arg_NO_VALGRIND)
        math(EXPR slow_timeout "${arg_TIMEOUT} * 5")
        add_test(NAME ${name}.valgrind
            COMMAND ${CBD_VALGRIND} -q --error-exitcode=99 --leak-check=full $<TARGET_FILE:${name}>)
        set_tests_properties(${name}.valgrind PROPERTIES
            LABELS valgrind TIMEOUT ${slow_timeout} SKIP_RETURN_CODE 77)
        cbd_set_test_environment(${name}.valgrind)
    endif()
endfunction()

function(cbd_add_script_test name script)
    cmake_parse_arguments(arg "" "TIMEOUT" "LABELS" ${ARGN})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    get_filename_component(script ${script} ABSOLUTE)
    add_test(NAME ${name} COMMAND ${script} WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
    set_tests_properties(${name} PROPERTIES
        LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77)
    cbd_set_test_environment(${name})
endfunction()
