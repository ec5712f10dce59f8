# SPDX-License-Identifier: Apache-2.0
# glmocr_options: the options that all our targets are compiled with.
add_library(glmocr_options INTERFACE)
target_compile_options(glmocr_options INTERFACE -Wall -Wextra -Wpedantic -Wno-missing-field-initializers
                                                $<$<BOOL:${GLMOCR_WERROR}>:-Werror>)
if(GLMOCR_SANITIZE)
  target_compile_options(glmocr_options INTERFACE -fsanitize=${GLMOCR_SANITIZE} -fno-omit-frame-pointer
                                                  -fno-sanitize-recover=all)
  target_link_options(glmocr_options INTERFACE -fsanitize=${GLMOCR_SANITIZE})
endif()
