# SPDX-License-Identifier: Apache-2.0
# The library as a package that other CMake projects can find; paths are relative, so that the folder may be moved:
#   lib/libglmocr.a   include/glmocr   lib/cmake/glmocr   share/glm-ocr/models
# The program and its model are installed by src/cli/CMakeLists.txt.
include(CMakePackageConfigHelpers)

if(NOT GLMOCR_INSTALL)
  return()
endif()

install(TARGETS glmocr EXPORT glmocr-targets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/glmocr DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(NOT TARGET glm-ocr)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/models/mini ${PROJECT_SOURCE_DIR}/models/mini-layout
          DESTINATION share/glm-ocr/models)
endif()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/glmocr)
set(model_dir share/glm-ocr/models/mini)
set(glmocr_shared OFF)
if(BUILD_SHARED_LIBS)
  set(glmocr_shared ON)
endif()
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/glmocr-config.cmake.in
                              ${PROJECT_BINARY_DIR}/glmocr-config.cmake
                              INSTALL_DESTINATION ${package_dir} PATH_VARS model_dir)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/glmocr-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/glmocr-config.cmake ${PROJECT_BINARY_DIR}/glmocr-config-version.cmake
        DESTINATION ${package_dir})
install(EXPORT glmocr-targets NAMESPACE glmocr:: DESTINATION ${package_dir})
