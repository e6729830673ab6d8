# Warnings and sanitizers, the same for the library, its bindings and its tests.
function(alphaflops_set_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow)
  if(ALPHAFLOPS_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(ALPHAFLOPS_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${ALPHAFLOPS_SANITIZE}
                                             -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${ALPHAFLOPS_SANITIZE})
  endif()
endfunction()
