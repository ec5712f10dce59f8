# SPDX-License-Identifier: Apache-2.0
# The library that users link: the objects of all rooms in one archive or one shared library.

# glmocr_object_targets(OUT FOLDERS...): the static and object libraries of these source folders and their sub-folders.
function(glmocr_object_targets out)
  set(found "")
  foreach(folder IN LISTS ARGN)
    get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
    foreach(target IN LISTS targets)
      get_target_property(type ${target} TYPE)
      if(type STREQUAL STATIC_LIBRARY OR type STREQUAL OBJECT_LIBRARY)
        list(APPEND found ${target})
      endif()
    endforeach()
    get_property(children DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
    if(children)
      glmocr_object_targets(below ${children})
      list(APPEND found ${below})
    endif()
  endforeach()
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

# glmocr_join(NAME TYPE ROOMS...): joins the rooms as NAME; TYPE is STATIC or SHARED.
function(glmocr_join name type)
  set(objects ${ARGN})
  list(TRANSFORM objects REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>")
  add_library(${name} ${type} ${objects})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX OUTPUT_NAME glmocr VERSION ${PROJECT_VERSION}
                                           SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_include_directories(${name} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                               $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${name} INTERFACE cxx_std_20)

  # In an installed package cmake/glmocr-config.cmake.in finds glmocr_outside again.
  target_link_libraries(${name} PRIVATE "$<BUILD_INTERFACE:${glmocr_outside};glmocr_options>")
  if(type STREQUAL "STATIC")
    target_link_libraries(${name} PRIVATE $<INSTALL_INTERFACE:glmocr::outside>)
  elseif(UNIX AND NOT APPLE)
    # Hidden visibility keeps our own names inside; the list also keeps inside what templates of other libraries
    # instantiate.
    set(exports ${PROJECT_SOURCE_DIR}/cmake/glmocr.exports)
    target_link_options(${name} PRIVATE LINKER:--version-script=${exports})
    set_target_properties(${name} PROPERTIES LINK_DEPENDS ${exports})
  endif()
endfunction()
