# SPDX-License-Identifier: Apache-2.0
# The libraries of others that we link. Each becomes an imported target; a missing one names its Debian package.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

# What is linked, for the installed package: glmocr_modules (of pkg-config) and glmocr_outside (targets).
set(glmocr_modules "")
set(glmocr_outside Threads::Threads GIF::GIF)

# glmocr_pkg(TARGET MODULE PACKAGE): a library that pkg-config knows, as PkgConfig::TARGET.
function(glmocr_pkg target module package)
  pkg_check_modules(${target} IMPORTED_TARGET ${module})
  if(NOT TARGET PkgConfig::${target})
    message(FATAL_ERROR "${module} not found: apt-get install ${package} (or run scripts/setup.sh)")
  endif()
  set(glmocr_modules ${glmocr_modules} ${module} PARENT_SCOPE)
  set(glmocr_outside ${glmocr_outside} PkgConfig::${target} PARENT_SCOPE)
endfunction()

glmocr_pkg(JPEG libjpeg libjpeg62-turbo-dev)
glmocr_pkg(PNG libpng libpng-dev)
glmocr_pkg(WEBP libwebp libwebp-dev)
glmocr_pkg(ZLIB zlib zlib1g-dev)
glmocr_pkg(WEBPDEMUX libwebpdemux libwebp-dev)
glmocr_pkg(TIFF libtiff-4>=4.5 libtiff-dev)
glmocr_pkg(PCRE2 libpcre2-8 libpcre2-dev)
find_package(GIF REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
if(GLMOCR_BUILD_PROGRAM)
  find_package(CLI11 2.1 REQUIRED)
endif()
if(GLMOCR_HEIF)
  glmocr_pkg(HEIF libheif libheif-dev)
endif()

# The runtime is linked statically. It looks for the driver when a device is opened, so the program starts without one.
if(GLMOCR_HAS_CUDA)
  find_package(CUDAToolkit REQUIRED)
  list(APPEND glmocr_outside CUDA::cudart_static)
endif()

# find_package(dnnl) of Debian 12 fails without the headers of OpenCL: look for the files.
if(GLMOCR_ONEDNN)
  find_path(DNNL_INCLUDE_DIR dnnl.h)
  find_library(DNNL_LIBRARY dnnl)
  if(NOT DNNL_INCLUDE_DIR OR NOT DNNL_LIBRARY)
    message(FATAL_ERROR "oneDNN not found: apt-get install libdnnl-dev, or configure with -DGLMOCR_ONEDNN=OFF")
  endif()
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  add_library(glmocr_dnnl INTERFACE)
  target_include_directories(glmocr_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
  target_link_libraries(glmocr_dnnl INTERFACE ${DNNL_LIBRARY} OpenMP::OpenMP_CXX)
  list(APPEND glmocr_outside glmocr_dnnl)
endif()
