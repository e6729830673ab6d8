// Streams are queues, which run when something waits for them.
#include <memory>
#include <utility>

#include "state.hpp"

namespace emulate::runtime {

namespace {

constexpr std::size_t queue_length = 1024;

/// The default stream of the calling thread's device.
CUstream_st& legacy(int device) {
  static std::map<int, CUstream_st> of_devices;
  CUstream_st& stream = of_devices[device];
  stream.device = device;
  return stream;
}

void run_one(CUstream_st& stream) {
  const Work work = std::move(stream.waiting.front());
  stream.waiting.pop_front();
  work();
  if (state().left != cudaSuccess) stream.waiting.clear();
}

cudaError_t synchronize(CUstream_st& stream) {
  if (stream.is_capturing) {
    stream.is_capture_broken = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  run(stream);
  return cudaSuccess;
}

}  // namespace

void run(CUstream_st& stream) {
  while (!stream.waiting.empty()) run_one(stream);
}

void run_all() {
  for (int device = 0; device < device_count(); ++device) run(legacy(device));
  for (CUstream_st* each : state().streams) run(*each);
}

CUstream_st* find(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy) return &legacy(current_device());
  return state().streams.contains(stream) ? stream : nullptr;
}

cudaError_t enqueue(cudaStream_t handle, Work work) {
  CUstream_st* stream = find(handle);
  if (stream == nullptr || stream->device != current_device()) {
    return cudaErrorInvalidResourceHandle;
  }
  if (stream->is_capturing) {
    stream->captured.push_back(std::move(work));
    return cudaSuccess;
  }
  while (stream->waiting.size() >= queue_length) run_one(*stream);  // the host waits
  stream->waiting.push_back(std::move(work));
  return cudaSuccess;
}

}  // namespace emulate::runtime

using namespace emulate::runtime;

struct CUgraph_st {
  std::vector<Work> nodes;
};
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<Work>> nodes;
};

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call("cudaStreamCreateWithFlags", Asks::context, [&] {
    if (flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;  // no other is asked for
    *stream = new CUstream_st{};
    (*stream)->device = current_device();
    state().streams.insert(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call("cudaStreamDestroy", Asks::context, [&] {
    if (state().streams.erase(stream) == 0) return cudaErrorInvalidResourceHandle;
    run(*stream);  // what it has to do is still done
    if (stream->is_capturing) --captures();
    delete stream;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call("cudaStreamSynchronize", Asks::context, [&] {
    CUstream_st* found = find(stream);
    return found == nullptr ? cudaErrorInvalidResourceHandle : synchronize(*found);
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", Asks::context, [] {
    if (captures() > 0) return cudaErrorStreamCaptureUnsupported;
    run_all();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return call("cudaStreamBeginCapture", Asks::context, [&] {
    if (!state().streams.contains(stream)) return cudaErrorStreamCaptureUnsupported;
    if (stream->is_capturing) return cudaErrorIllegalState;
    stream->is_capturing = true, stream->is_capture_broken = false;
    stream->capturer = std::this_thread::get_id();
    stream->captured.clear();
    ++captures();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", Asks::context, [&] {
    *graph = nullptr;
    if (!state().streams.contains(stream) || !stream->is_capturing) return cudaErrorIllegalState;
    if (stream->capturer != std::this_thread::get_id()) return cudaErrorStreamCaptureWrongThread;
    stream->is_capturing = false;
    --captures();
    if (stream->is_capture_broken) return cudaErrorStreamCaptureInvalidated;
    *graph = new CUgraph_st{std::move(stream->captured)};
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", Asks::context, [&] {
    *ready = new CUgraphExec_st{std::make_shared<const std::vector<Work>>(graph->nodes)};
    return cudaSuccess;
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t stream) {
  return call("cudaGraphUpload", Asks::context, [&] { return enqueue(stream, [] {}); });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  return call("cudaGraphLaunch", Asks::context, [&] {
    return enqueue(stream, [nodes = graph->nodes] {
      for (const Work& each : *nodes) {
        if (state().left == cudaSuccess) each();
      }
    });
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete graph;  // launches that wait keep its nodes
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return call("cudaEventCreate", Asks::context, [&] {
    run_all();  // as what takes memory of the host may
    *event = new CUevent_st{};
    (*event)->device = current_device();
    state().events.insert(*event);
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call("cudaEventDestroy", Asks::context, [&] {
    if (state().events.erase(event) == 0) return cudaErrorInvalidResourceHandle;
    run_all();
    delete event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call("cudaEventRecord", Asks::context, [&] {
    if (!state().events.contains(event) || event->device != current_device()) {
      return cudaErrorInvalidResourceHandle;
    }
    event->is_recorded = true, event->is_done = false;
    return enqueue(stream, [event] {
      event->is_done = true;
      event->time_s = state().now_s;
    });
  });
}

cudaError_t cudaEventElapsedTime(float* time_ms, cudaEvent_t begin, cudaEvent_t end) {
  return call("cudaEventElapsedTime", Asks::context, [&] {
    for (const cudaEvent_t each : {begin, end}) {
      if (!state().events.contains(each) || !each->is_recorded) {
        return cudaErrorInvalidResourceHandle;
      }
    }
    if (!begin->is_done || !end->is_done) return cudaErrorNotReady;
    *time_ms = static_cast<float>(1e3 * (end->time_s - begin->time_s));
    return cudaSuccess;
  });
}
