# SPDX-License-Identifier: Apache-2.0
# cmake -D BUILD=… -D SOURCE=… -D WORK=… -D CXX=… -D FLAGS=… -P install_test.cmake
# Installs the build, moves the folder, runs the program from the new place, and builds and runs a project that finds the
# package there.
function(run out)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGN}: ${result}\n${output}\n${errors}")
  endif()
  set(${out} "${output}" PARENT_SCOPE)
endfunction()

function(expect text word what)
  string(FIND "${text}" "${word}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${what}: expected a text with \"${word}\", got \"${text}\"")
  endif()
endfunction()

set(picture ${SOURCE}/tests/data/pictures/page_900x700.png)
set(prefix ${WORK}/moved)
file(REMOVE_RECURSE ${WORK})
run(ignored ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
file(RENAME ${WORK}/first ${prefix})

run(program_text ${CMAKE_COMMAND} -E env --unset=GLMOCR_MODEL ${prefix}/bin/glm-ocr ${picture})
expect("${program_text}" "reading machines" "the installed program")

# The renderer of PDF files is found beside the program: it says what is wrong with the file, not that it is missing.
file(WRITE ${WORK}/broken.pdf "%PDF-1.7\n")
execute_process(COMMAND ${CMAKE_COMMAND} -E env --unset=GLMOCR_MODEL --unset=GLMOCR_PDF_WORKER ${prefix}/bin/glm-ocr
                        ${WORK}/broken.pdf
                ERROR_VARIABLE errors RESULT_VARIABLE result)
if(NOT errors MATCHES "is a PDF file, and|PDF files need|Linux only")
  message(FATAL_ERROR "the installed program and a broken PDF file: ${result}\n${errors}")
endif()

file(GLOB_RECURSE installed ${prefix}/*.cmake ${prefix}/include/*)
foreach(file IN LISTS installed)
  file(READ ${file} text)
  foreach(path IN ITEMS ${SOURCE} ${BUILD} ${WORK})
    string(FIND "${text}" "${path}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} names ${path}: the installed folder could not be moved to another machine")
    endif()
  endforeach()
endforeach()

run(ignored ${CMAKE_COMMAND} -S ${SOURCE}/tests/install/consumer -B ${WORK}/consumer -G Ninja
    -D CMAKE_PREFIX_PATH=${prefix} -D CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_COMPILER=${CXX} -D CMAKE_CXX_FLAGS=${FLAGS})
run(ignored ${CMAKE_COMMAND} --build ${WORK}/consumer)
run(text ${WORK}/consumer/consumer ${picture})
expect("${text}" "reading machines" "the project that uses the package")
if(NOT text STREQUAL program_text)
  message(FATAL_ERROR "the program and the library read differently:\n${program_text}\n${text}")
endif()
file(REMOVE_RECURSE ${WORK})
