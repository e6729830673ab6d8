#include "program.hpp"

#include <cstring>
#include <string>

#include "check.hpp"
#include "library.hpp"
#include "tensor_map.hpp"

namespace alphaflops::cuda {

namespace {

std::uint64_t address_of(Buffer buffer, const Addresses& addresses, const std::string& symbol) {
  const std::uint64_t address = addresses[static_cast<std::size_t>(buffer)];
  if (address == 0) {
    throw ShapeError(symbol + " needs " + to_string(buffer) + ", and none was given");
  }
  return address;
}

void fill_in(Launch& launch, const Addresses& addresses) {
  for (const Pointer& each : launch.pointers) {
    const std::uint64_t address = address_of(each.buffer, addresses, launch.symbol) +
                                  static_cast<std::uint64_t>(each.byte_offset);
    std::memcpy(launch.parameters.data() + each.offset, &address, sizeof address);
  }
  for (const TensorMap& map : launch.tensor_maps) {
    encode(map,
           address_of(map.buffer, addresses, launch.symbol) +
               static_cast<std::uint64_t>(map.byte_offset),
           launch.parameters.data() + map.offset);
  }
}

/// Loads a kernel's code now, and lets it have the shared memory that it needs. The driver would
/// load it at the first launch, which may wait for the device, and behind a blocking kernel for the
/// host itself.
void make_ready(cudaKernel_t kernel, const Launch& launch, int device) {
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)),
        "loading " + launch.symbol);
  const int shared_bytes = static_cast<int>(launch.shared_bytes);
  // Never less than before: other programs launch the same kernel.
  if (shared_bytes <= attributes.maxDynamicSharedSizeBytes) return;
  check(cudaKernelSetAttributeForDevice(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        shared_bytes, device),
        launch.symbol + ": asking for " + std::to_string(shared_bytes) + " bytes of shared memory");
}

dim3 extents(const std::array<unsigned, 3>& sizes) { return {sizes[0], sizes[1], sizes[2]}; }

}  // namespace

void Program::append(const std::vector<Launch>& launches, const Addresses& addresses) {
  require_healthy();
  check(cudaSetDevice(device_), "choosing device " + std::to_string(device_));
  for (const Launch& each : launches) {
    Kernel made{kernel(each.header, each.symbol), each};
    fill_in(made.launch, addresses);
    make_ready(made.kernel, each, device_);
    kernels_.push_back(std::move(made));
  }
}

Program Program::captured(const std::vector<const Program*>& programs, int turns, int device) {
  check(cudaSetDevice(device), "choosing device " + std::to_string(device));
  cudaStream_t stream{};
  cudaGraph_t graph{};
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  const std::shared_ptr<void> let_go(nullptr, [&](void*) {
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
  });
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing a graph");
  for (int turn = 0; turn < turns; ++turn) {
    for (const Program* each : programs) each->launch(stream);
  }
  check(cudaStreamEndCapture(stream, &graph), "capturing a graph");
  Program made(device);
  made.graph_ = std::shared_ptr<cudaGraphExec_t>(new cudaGraphExec_t{}, [](cudaGraphExec_t* own) {
    if (*own != nullptr) cudaGraphExecDestroy(*own);
    delete own;
  });
  check(cudaGraphInstantiate(made.graph_.get(), graph, 0), "making a graph ready");
  // Else the first launch would do this, behind a blocking kernel perhaps.
  check(cudaGraphUpload(*made.graph_, stream), "moving a graph to the device");
  check(cudaStreamSynchronize(stream), "moving a graph to the device");
  for (const Program* each : programs) made.graph_launches_ += turns * each->launches();
  return made;
}

void Program::launch(cudaStream_t stream) const {
  if (graph_) {
    check(cudaGraphLaunch(*graph_, stream), "launching a graph");
    return;
  }
  for (const Kernel& each : kernels_) {
    const Launch& launch = each.launch;
    cudaLaunchAttribute attributes[2]{};
    cudaLaunchConfig_t config{};
    config.gridDim = extents(launch.grid);
    config.blockDim = extents(launch.block);
    config.dynamicSmemBytes = launch.shared_bytes;
    config.stream = stream;
    config.attrs = attributes;
    if (launch.cluster != std::array{1U, 1U, 1U}) {
      cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
      cluster.id = cudaLaunchAttributeClusterDimension;
      cluster.val.clusterDim.x = launch.cluster[0];
      cluster.val.clusterDim.y = launch.cluster[1];
      cluster.val.clusterDim.z = launch.cluster[2];
    }
    if (launch.overlaps_before) {
      cudaLaunchAttribute& overlap = attributes[config.numAttrs++];
      overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      overlap.val.programmaticStreamSerializationAllowed = 1;
    }
    void* arguments[] = {const_cast<std::byte*>(launch.parameters.data())};
    check(cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(each.kernel), arguments),
          "launching " + launch.symbol);
  }
}

int Program::launches() const {
  return graph_ ? graph_launches_ : static_cast<int>(kernels_.size());
}

}  // namespace alphaflops::cuda
