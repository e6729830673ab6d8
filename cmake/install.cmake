# find_package(alphaflops) from an install prefix or from inside the Python package.
include(CMakePackageConfigHelpers)

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/alphaflops)

install(TARGETS alphaflops alphaflops_cuda_plan EXPORT alphaflops-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY cpp/include/alphaflops DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# A header of ours includes its neighbours by their place, so the folders keep their places.
install(FILES cuda/plan/launch.hpp cuda/plan/plans.hpp cuda/plan/problem.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/alphaflops/cuda/plan)
if(ALPHAFLOPS_HAS_CUDA)
  install(DIRECTORY cuda/src DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/alphaflops/cuda
          FILES_MATCHING PATTERN "*.hpp")
  install(TARGETS alphaflops_cuda EXPORT alphaflops-cuda-targets
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT alphaflops-cuda-targets NAMESPACE alphaflops:: DESTINATION ${config_dir})
endif()
install(EXPORT alphaflops-targets NAMESPACE alphaflops:: DESTINATION ${config_dir})
configure_package_config_file(cmake/alphaflops-config.cmake.in alphaflops-config.cmake
                              INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file(alphaflops-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/alphaflops-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/alphaflops-config-version.cmake
        DESTINATION ${config_dir})
