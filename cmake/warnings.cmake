# Warnings and sanitizers, the same for the library, its bindings and its tests.
function(alphaflops_set_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # A literal plus a string is taken for overlapping copies (GCC bug 105651).
    target_compile_options(${target} PRIVATE -Wno-restrict)
  endif()
  if(ALPHAFLOPS_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(ALPHAFLOPS_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${ALPHAFLOPS_SANITIZE}
                                             -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${ALPHAFLOPS_SANITIZE})
  endif()
endfunction()
