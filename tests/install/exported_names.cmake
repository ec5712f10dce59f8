# SPDX-License-Identifier: Apache-2.0
# cmake -D NM=… -D LIBRARY=… -P exported_names.cmake
# Checks that a shared library exports the names of include/glmocr and nothing else.
set(classes DocumentReader Engine Error Job LayoutModel Logits Model)
set(functions to_string task_prompt load_image decode_image_bytes set_log_sink selftest default_model_path devices version
    default_layout_model_path region_label region_task classical_regions detected_regions labelled_regions
    whole_page_region bench quantize_snapshot)
list(JOIN classes "|" classes)
list(JOIN functions "|" functions)
set(public "^((vtable|typeinfo|typeinfo name) for glmocr::Error|glmocr::(${classes})::~?[A-Za-z_]+=?(\\[abi:cxx11\\])?\\(.*|glmocr::(${functions})(\\[abi:cxx11\\])?\\(.*)$")

execute_process(COMMAND ${NM} --dynamic --defined-only --demangle --format=posix ${LIBRARY} OUTPUT_VARIABLE text
                COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE ";" "," text "${text}")
string(REGEX REPLACE " [A-Za-z] [0-9a-f]+( [0-9a-f]+)?\n" "\n" text "${text}")
string(REGEX REPLACE "\n" ";" names "${text}")
set(foreign "")
set(count 0)
foreach(name IN LISTS names)
  if(name MATCHES "${public}")
    math(EXPR count "${count} + 1")
  elseif(name)
    string(APPEND foreign "  ${name}\n")
  endif()
endforeach()
if(foreign)
  message(FATAL_ERROR "${LIBRARY} exports names that are not public:\n${foreign}")
endif()
if(count LESS 25)
  message(FATAL_ERROR "${LIBRARY} exports only ${count} public names:\n${text}")
endif()
message(STATUS "${count} exported names, all public")
