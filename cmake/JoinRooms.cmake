# SPDX-License-Identifier: Apache-2.0
# The library that users link: every room's objects in one archive (or one shared library with BUILD_SHARED_LIBS).

# glmocr_object_targets(OUT FOLDERS...): the libraries of these source folders and their sub-folders that hold objects.
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

# glmocr_join(NAME): joins all rooms of the current folder as NAME and glmocr::NAME.
function(glmocr_join name)
  glmocr_object_targets(rooms ${CMAKE_CURRENT_SOURCE_DIR})
  set(objects ${rooms})
  list(TRANSFORM objects REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>")
  add_library(${name} ${objects})
  add_library(glmocr::${name} ALIAS ${name})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION}
                                           SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_include_directories(${name} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                               $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${name} INTERFACE cxx_std_20)

  # In an installed package cmake/glmocr-config.cmake.in finds glmocr_outside again.
  target_link_libraries(${name} PRIVATE "$<BUILD_INTERFACE:${glmocr_outside};glmocr_options>")
  if(NOT BUILD_SHARED_LIBS)
    target_link_libraries(${name} PRIVATE $<INSTALL_INTERFACE:glmocr::outside>)
  endif()
endfunction()
