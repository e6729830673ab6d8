# The optional CUDA part: whether it is built, for which GPUs, and the machine code of its kernels.
#
# AUTO builds it where nvcc is found. A pip build, which it would make minutes slower, has OFF unless
# asked for with -C cmake.define.ALPHAFLOPS_CUDA=ON (pyproject.toml), and so has a project that this
# one is a part of.
if(alphaflops_is_top)
  set(alphaflops_default_cuda AUTO)
else()
  set(alphaflops_default_cuda OFF)
endif()
set(ALPHAFLOPS_CUDA ${alphaflops_default_cuda} CACHE STRING "Build alphaflops::cuda: AUTO, ON or OFF")
set_property(CACHE ALPHAFLOPS_CUDA PROPERTY STRINGS AUTO ON OFF)
set(ALPHAFLOPS_CUDA_ARCHITECTURES "75;80;86;89;90a;100" CACHE STRING
    "GPUs that machine code is made for; none: no kernels, only the code around them")
set(ALPHAFLOPS_CUDA_MINIMUM 12.8) # the first whose runtime loads libraries by name

set(ALPHAFLOPS_HAS_CUDA FALSE)
if(ALPHAFLOPS_CUDA STREQUAL "AUTO")
  find_package(CUDAToolkit ${ALPHAFLOPS_CUDA_MINIMUM} QUIET)
  if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE)
    set(ALPHAFLOPS_HAS_CUDA TRUE)
  endif()
elseif(ALPHAFLOPS_CUDA)
  find_package(CUDAToolkit ${ALPHAFLOPS_CUDA_MINIMUM} REQUIRED)
  if(NOT CUDAToolkit_NVCC_EXECUTABLE)
    message(FATAL_ERROR "ALPHAFLOPS_CUDA is ON and the CUDA toolkit has no nvcc; install it or set OFF")
  endif()
  set(ALPHAFLOPS_HAS_CUDA TRUE)
endif()
message(STATUS "alphaflops::cuda: ${ALPHAFLOPS_HAS_CUDA}")

# Compiles every header that no other includes to a fat binary, and writes a source that holds them all.
function(alphaflops_embed_kernels source)
  set(codes)
  foreach(arch IN LISTS ALPHAFLOPS_CUDA_ARCHITECTURES)
    list(APPEND codes -gencode arch=compute_${arch},code=sm_${arch})
  endforeach()
  set(newest a)
  if(ALPHAFLOPS_CUDA_ARCHITECTURES)
    list(GET ALPHAFLOPS_CUDA_ARCHITECTURES -1 newest)
  endif()
  if(NOT newest MATCHES "[a-z]$") # what comes later compiles this at start
    list(APPEND codes -gencode arch=compute_${newest},code=compute_${newest})
  endif()

  set(strict)
  if(ALPHAFLOPS_WERROR) # another compiler's warning is no reason to be without kernels
    set(strict -Werror all-warnings)
  endif()

  set(folder ${CMAKE_CURRENT_BINARY_DIR}/fatbins)
  file(MAKE_DIRECTORY ${folder})
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/kernels/*.cuh)
  set(fatbins)
  set(assembly)
  set(declarations)
  set(rows)
  set(included) # a header that another includes has no kernels of its own
  foreach(header IN LISTS headers)
    file(STRINGS ${header} lines REGEX "^#include \"")
    foreach(line IN LISTS lines)
      string(REGEX REPLACE ".*\"(.*)\".*" "\\1" name "${line}")
      list(APPEND included ${name})
    endforeach()
  endforeach()
  foreach(header IN LISTS headers)
    get_filename_component(file ${header} NAME)
    get_filename_component(name ${header} NAME_WE)
    if(file IN_LIST included OR NOT ALPHAFLOPS_CUDA_ARCHITECTURES)
      continue()
    endif()
    set(fatbin ${folder}/${name}.fatbin)
    file(CONFIGURE OUTPUT ${folder}/${name}.cu CONTENT "#include \"${header}\"\n")
    add_custom_command(
      OUTPUT ${fatbin}
      COMMAND ${CUDAToolkit_NVCC_EXECUTABLE} -fatbin -std=c++20 ${strict} --threads 2
              -ccbin ${CMAKE_CXX_COMPILER} ${codes} ${folder}/${name}.cu -o ${fatbin}
      DEPENDS ${headers}
      COMMENT "Kernels of ${name}.cuh"
      VERBATIM)
    list(APPEND fatbins ${fatbin})
    string(APPEND assembly
           "asm(\".section .rodata\\n.balign 64\\n.hidden alphaflops_fatbin_${name}\\n\"\n"
           "    \".globl alphaflops_fatbin_${name}\\nalphaflops_fatbin_${name}:\\n\"\n"
           "    \".incbin \\\"${fatbin}\\\"\\n.byte 0\\n.previous\");\n")
    string(APPEND declarations
           "extern \"C\" __attribute__((visibility(\"hidden\"))) const unsigned char alphaflops_fatbin_${name}[];\n")
    string(APPEND rows "    {\"${name}.cuh\", alphaflops_fatbin_${name}},\n")
  endforeach()
  list(LENGTH fatbins count)
  file(
    CONFIGURE
    OUTPUT ${source}
    CONTENT
      "// Made by the build.
#include <array>

#include \"library.hpp\"

${assembly}
${declarations}
namespace alphaflops::cuda {
std::span<const FatBinary> fat_binaries() {
  static const std::array<FatBinary, ${count}> all{{
${rows}  }};
  return all;
}
}  // namespace alphaflops::cuda
"
    @ONLY)
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${fatbins}")
endfunction()
