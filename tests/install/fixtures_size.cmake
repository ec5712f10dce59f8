# SPDX-License-Identifier: Apache-2.0
# cmake -D FOLDER=DIR -D MOST=BYTES -P fixtures_size.cmake: fails where the files of a folder take more.
file(GLOB_RECURSE files ${FOLDER}/*)
set(total 0)
foreach(name IN LISTS files)
  file(SIZE ${name} size)
  math(EXPR total "${total} + ${size}")
endforeach()
if(total EQUAL 0 OR total GREATER MOST)
  message(FATAL_ERROR "the files of ${FOLDER} take ${total} bytes, expected 1 to ${MOST}")
endif()
message(STATUS "${total} of ${MOST} bytes")
