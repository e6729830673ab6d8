#include "program.hpp"

#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "check.hpp"
#include "device.hpp"
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

/// Lets a kernel have so much shared memory, and never less than before: other programs launch the
/// same kernel. What it has is kept here, as the manual does not say that attributes of a function
/// tell what was set for its kernel.
void allow_shared(cudaKernel_t kernel, int shared_bytes, int device, const std::string& symbol) {
  constexpr int without_asking = 48 << 10;
  static std::mutex mutex;
  static std::map<std::pair<cudaKernel_t, int>, int> allowed;  // by device
  const std::scoped_lock lock(mutex);
  int& most = allowed.try_emplace({kernel, device}, without_asking).first->second;
  if (shared_bytes <= most) return;
  check(cudaKernelSetAttributeForDevice(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        shared_bytes, device),
        symbol + ": asking for " + std::to_string(shared_bytes) + " bytes of shared memory");
  most = shared_bytes;
}

/// Loads a kernel's code now, and lets it have the shared memory that it needs. The driver would
/// load it at the first launch, which may wait for the device, and behind a blocking kernel for the
/// host itself.
void make_ready(cudaKernel_t kernel, const Launch& launch, int device) {
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)),
        "loading " + launch.symbol);
  allow_shared(kernel, static_cast<int>(launch.shared_bytes), device, launch.symbol);
}

dim3 extents(const std::array<unsigned, 3>& sizes) { return {sizes[0], sizes[1], sizes[2]}; }

}  // namespace

void Program::append(const std::vector<Launch>& launches, const Addresses& addresses) {
  require_healthy();
  const CurrentDevice current(device_);
  for (const Launch& each : launches) {
    Kernel made{kernel(each.header, each.symbol), each};
    fill_in(made.launch, addresses);
    make_ready(made.kernel, each, device_);
    kernels_.push_back(std::move(made));
  }
}

Program Program::captured(const std::vector<const Program*>& programs, int turns, int device) {
  const CurrentDevice current(device);
  cudaStream_t stream{};
  cudaGraph_t graph{};
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  const std::shared_ptr<void> let_go(nullptr, [&](void*) {
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
  });
  for (const Program* each : programs) each->launch_if_new(stream);
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
  const CurrentDevice current(device_);
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

void Program::launch_if_new(cudaStream_t stream) const {
  static std::mutex mutex;
  static std::set<std::pair<cudaKernel_t, int>> launched;  // by device
  const std::scoped_lock lock(mutex);
  bool is_new = false;
  for (const Kernel& each : kernels_) is_new |= launched.emplace(each.kernel, device_).second;
  if (!is_new) return;
  const CurrentDevice current(device_);
  launch(stream);
  check(cudaStreamSynchronize(stream), "running kernels for the first time");
}

int Program::launches() const {
  return graph_ ? graph_launches_ : static_cast<int>(kernels_.size());
}

}  // namespace alphaflops::cuda
