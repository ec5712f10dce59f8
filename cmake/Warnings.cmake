# SPDX-License-Identifier: Apache-2.0
# glmocr_options: the options that our targets are compiled with; glmocr_warnings: the same without sanitizers.
add_library(glmocr_warnings INTERFACE)
set(warnings -Wall -Wextra -Wpedantic -Wno-missing-field-initializers $<$<BOOL:${GLMOCR_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)  # for a class of a .cc file that a unity build includes
  list(APPEND warnings $<$<BOOL:${CMAKE_UNITY_BUILD}>:-Wno-subobject-linkage>)
endif()
target_compile_options(glmocr_warnings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>")
add_library(glmocr_options INTERFACE)
target_link_libraries(glmocr_options INTERFACE glmocr_warnings)
if(GLMOCR_SANITIZE)
  target_compile_options(glmocr_options INTERFACE -fsanitize=${GLMOCR_SANITIZE} -fno-omit-frame-pointer
                                                  -fno-sanitize-recover=all)
  target_link_options(glmocr_options INTERFACE -fsanitize=${GLMOCR_SANITIZE})
endif()
