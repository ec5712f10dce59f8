# SPDX-License-Identifier: Apache-2.0
# glmocr_options: the options that all our targets are compiled with.
add_library(glmocr_options INTERFACE)
set(warnings -Wall -Wextra -Wpedantic -Wno-missing-field-initializers $<$<BOOL:${GLMOCR_WERROR}>:-Werror>)
target_compile_options(glmocr_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>")
if(GLMOCR_SANITIZE)
  target_compile_options(glmocr_options INTERFACE -fsanitize=${GLMOCR_SANITIZE} -fno-omit-frame-pointer
                                                  -fno-sanitize-recover=all)
  target_link_options(glmocr_options INTERFACE -fsanitize=${GLMOCR_SANITIZE})
endif()
