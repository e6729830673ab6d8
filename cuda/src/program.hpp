// A plan with its addresses filled in, ready to be launched again and again.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "../plan/launch.hpp"

namespace alphaflops::cuda {

/// Device addresses by Buffer; 0 where there is none.
using Addresses = std::array<std::uint64_t, buffer_count>;

class Program {
 public:
  explicit Program(int device = 0) : device_(device) {}

  /// Adds launches behind those at hand. Raises ShapeError where a buffer that they need has no
  /// address, UnsupportedError where a kernel was not compiled for this GPU.
  void append(const std::vector<Launch>& launches, const Addresses& addresses);

  /// So many turns through the programs as one graph, whose launches cost the host next to nothing.
  static Program captured(const std::vector<const Program*>& programs, int turns, int device = 0);

  /// Raises DeviceError where a launch is refused.
  void launch(cudaStream_t stream) const;
  /// Launches and waits where one of its kernels has not come through here yet. The driver may wait
  /// for the device at a first launch, even where the code is loaded: nothing may be held back.
  void launch_if_new(cudaStream_t stream) const;
  /// Kernels that run, those of a graph as well.
  int launches() const;

 private:
  struct Kernel {
    cudaKernel_t kernel{};
    Launch launch;
  };
  std::vector<Kernel> kernels_;
  std::shared_ptr<cudaGraphExec_t> graph_;
  int graph_launches_ = 0;
  int device_ = 0;
};

}  // namespace alphaflops::cuda
