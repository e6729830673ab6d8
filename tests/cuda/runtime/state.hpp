// A made-up CUDA runtime: the functions that cuda/src calls, over the emulation of the kernels.
//
// It is strict where the manual leaves freedom, so that a mistake of the host code shows: what is
// asynchronous runs as late as it may, memory holds NaN bytes, streams that are not ordered do not
// wait for each other, and faults stay. Its clock follows from the launches alone.
//
//     EMULATED_CUDA_ARCH=90           ten times the compute capability
//     EMULATED_CUDA_DEVICES=1         GPUs
//     EMULATED_CUDA_MEMORY_MB=1024    memory of each
//     EMULATED_CUDA_DRIVER=13000      version of the driver; 0: none
//     EMULATED_CUDA_MOST_THREADS      launches of more threads are timed, and not run
//     EMULATED_CUDA_FAULT             FUNCTION=CODE[@N],...: the N-th call, or each, gives that
//     code
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace emulate::runtime {

/// What a stream does in its turn.
using Work = std::function<void()>;

/// Memory that was taken; pages that trap lie on both sides.
struct Block {
  std::size_t bytes = 0, mapped_bytes = 0;
  bool is_host = false;
  int device = 0;
};

struct State {
  std::recursive_mutex mutex;
  cudaError_t left = cudaSuccess;  // by a fault that stays
  double now_s = 0.0;
  std::map<std::uintptr_t, Block> memory;
  std::set<CUstream_st*> streams;
  std::set<CUevent_st*> events;
  std::set<const void*> kernels;
  std::map<std::string, int> calls;
  std::string faults;  // that are asked for
};
State& state();

long long setting(const char* name, long long otherwise);
inline int arch() { return static_cast<int>(setting("EMULATED_CUDA_ARCH", 90)); }
inline int device_count() { return static_cast<int>(setting("EMULATED_CUDA_DEVICES", 1)); }
inline std::size_t memory_bytes() {
  return static_cast<std::size_t>(setting("EMULATED_CUDA_MEMORY_MB", 1024)) << 20;
}
constexpr int sm_count = 4;
int shared_bytes_at_most();

/// The calling thread's device.
int& current_device();
/// Streams of the calling thread that it is capturing.
int& captures();

/// Leaves a fault behind, and says on the error stream what did it.
void leave(cudaError_t fault, const std::string& why);
/// The name of a buffer that was written beyond its ends, by its place; empty where none was.
std::string overrun();
/// Puts work behind what waits, or into the graph that is captured. A queue that is full makes the
/// host wait.
cudaError_t enqueue(cudaStream_t stream, Work work);
/// Does what streams have to do.
void run(CUstream_st& stream);
void run_all();

enum class Asks { nothing, driver, context };

/// The code of a call, with the fault that is asked for or that was left in place of it.
cudaError_t call(const char* function, Asks asks, const std::function<cudaError_t()>& body);

}  // namespace emulate::runtime

// The handles are pointers to these, which are the runtime's own.
struct CUstream_st {
  int device = 0;
  bool is_capturing = false, is_capture_broken = false;
  std::thread::id capturer;
  std::deque<emulate::runtime::Work> waiting;
  std::vector<emulate::runtime::Work> captured;
};
struct CUevent_st {
  int device = 0;
  bool is_recorded = false, is_done = false;
  double time_s = 0.0;
};
