# C tests: each tests/engine_node/**/test_*.c is one program that exits 0 when all holds. The other .c files there and
# in tests/support are help for them and for the fuzz targets (a simulated host, builders of frames): one library.
file(GLOB_RECURSE test_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/engine_node/*.c
     ${CMAKE_SOURCE_DIR}/tests/support/*.c)
set(test_programs ${test_files})
list(FILTER test_programs INCLUDE REGEX "/test_[^/]*\\.c$")
set(test_support ${test_files})
list(FILTER test_support EXCLUDE REGEX "/test_[^/]*\\.c$")
set(test_includes ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/engine_node ${CMAKE_SOURCE_DIR}/tests)

if(test_support)
  add_library(ironbook_test_support STATIC ${test_support})
  target_compile_definitions(ironbook_test_support PRIVATE _GNU_SOURCE)
  target_include_directories(ironbook_test_support PRIVATE ${test_includes})
  target_link_libraries(ironbook_test_support PRIVATE ironbook_flags
                        PUBLIC ${IRONBOOK_LIBRARIES} OpenSSL::Crypto Threads::Threads)
  set_target_properties(ironbook_test_support PROPERTIES C_STANDARD 11 C_EXTENSIONS ON)
endif()

foreach(source ${test_programs})
  file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/tests/engine_node ${source})
  string(REGEX REPLACE "\\.c$" "" name ${name})
  string(REPLACE "/" "_" name ${name})
  add_executable(${name} ${source})
  target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
  target_include_directories(${name} PRIVATE ${test_includes})
  if(test_support)
    target_link_libraries(${name} PRIVATE ironbook_test_support)
  endif()
  target_link_libraries(${name} PRIVATE ironbook_flags ${IRONBOOK_LIBRARIES} OpenSSL::Crypto Threads::Threads)
  set_target_properties(${name} PROPERTIES C_STANDARD 11 C_EXTENSIONS ON
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 120)
endforeach()

# Programs that the Python tests call: tests/tools/*.c, in <build>/tools. The sanitizer build's are the strict second
# opinion.
file(GLOB tool_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/tools/*.c)
foreach(source ${tool_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(tool_${name} ${source})
  target_compile_definitions(tool_${name} PRIVATE _GNU_SOURCE)
  target_include_directories(tool_${name} PRIVATE ${test_includes})
  target_link_libraries(tool_${name} PRIVATE ironbook_flags ${IRONBOOK_LIBRARIES} Threads::Threads)
  set_target_properties(tool_${name} PROPERTIES C_STANDARD 11 C_EXTENSIONS ON OUTPUT_NAME ${name}
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tools)
endforeach()
