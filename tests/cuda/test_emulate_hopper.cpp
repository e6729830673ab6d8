// What the emulation does of sm_90: clusters, boxes of the copy engine, barriers, proxies. It must
// find the mistakes it is there to find.
#include <cstring>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "kernels/ptx_cluster.cuh"
#include "plan/launch.hpp"

namespace {

using namespace alphaflops::cuda;

constexpr int threads = 128, rows = 8, row_words = 32;

struct Copies {
  alignas(64) unsigned char map[128];
  unsigned* output;
  bool fences, waits, stays;
};

// Rows of words to the output by way of shared memory; blocks of a cluster have one row each.
void store_rows(Copies p) {
  const SharedAddress tile = shared_address(af_dynamic_shared());
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < rows * row_words; i += threads) {
    const int row = i / row_words, word = i % row_words;
    const int at = row * 128 + ((word / 4 ^ row) * 16) + word % 4 * 4;
    store_word(tile + static_cast<unsigned>(at), static_cast<unsigned>(i));
  }
  if (p.fences) publish_shared();
  __syncthreads();
  if (thread != 0) return;
  store_box(p.map, 0, 0, 0, 0, tile);
  stores_commit();
  if (p.waits) stores_wait();
}

// The first block brings a box to both, and each says what has come.
void copy_to_both(Copies p) {
  const SharedAddress tile = shared_address(af_dynamic_shared()), barrier = tile + 1024;
  const bool first = threadIdx.x == 0;
  if (first) {
    barrier_start(barrier, 1);
    barrier_publish();
  }
  cluster_sync();
  if (first) barrier_arrive_expecting(barrier, rows * 128);
  if (first && cluster_rank() == 0) copy_box_to_all(tile, p.map, 0, 0, barrier, 2);
  if (p.waits) barrier_wait(barrier, 0);
  unsigned sum = 0;
  if (first) {
    for (int i = 0; i < rows * row_words; ++i)
      sum += load_word(tile + static_cast<unsigned>(i * 4));
    p.output[cluster_rank()] = sum;
  }
  cluster_sync();
}

// The first block arrives at the second one's barrier, which may be gone.
void arrive_elsewhere(Copies p) {
  const SharedAddress barrier = shared_address(af_dynamic_shared());
  if (threadIdx.x == 0) barrier_start(barrier, 2);
  cluster_sync();
  if (cluster_rank() == 0 && threadIdx.x == 0) {
    emulate::block().yield();  // it has something else to do
    emulate::block().yield();
    barrier_arrive_at(barrier, 1);
  }
  if (p.stays) cluster_sync();
}

// A warp gathers for another, and may leave before what it asked for has come.
void gather(Copies p) {
  const SharedAddress tile = shared_address(af_dynamic_shared()), barrier = tile + 512;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) barrier_start(barrier, 32);
  __syncthreads();
  if (thread < 32) {
    copy_async_16(tile + static_cast<unsigned>(thread * 16), p.output + thread * 4, true);
    barrier_arrive_after_copies(barrier);
  } else {
    barrier_wait(barrier, 0);
  }
  if (p.stays) __syncthreads();
}

Copies copies_of(unsigned* memory, unsigned* output) {
  TensorMap map;
  map.dtype = alphaflops::DType::fp32;
  map.rank = 4;
  map.sizes = {row_words, rows, 1, 1};
  map.strides_bytes = {128, 1024, 1024};
  map.box = {row_words, rows, 1, 1};
  map.swizzle = Swizzle::bytes_128;
  Copies copies{};
  const auto host = emulate::encode(map, reinterpret_cast<std::byte*>(memory));
  std::memcpy(copies.map, &host, sizeof(host));
  copies.output = output;
  copies.fences = copies.waits = copies.stays = true;
  return copies;
}

}  // namespace

int main() {
  constexpr int count = rows * row_words;
  struct alignas(16) Words {
    unsigned word[count];
  };
  Words memory{};
  std::vector<unsigned> sums(2);
  const Copies right = copies_of(memory.word, sums.data());
  Copies no_fence = right, no_wait = right, leaves = right;
  no_fence.fences = no_wait.waits = leaves.stays = false;
  Copies gathers = right, gathers_and_leaves = leaves;
  gathers.output = gathers_and_leaves.output = memory.word;
  int unseen = 0, gone = 0, ended = 0, left = 0;
  for (unsigned seed = 0; seed < 30; ++seed) {
    emulate::block().seed(seed);
    memory = {};
    emulate::launch(store_rows, {1}, {threads}, 1024, right);
    bool all = true;
    for (unsigned i = 0; i < count; ++i) all = all && memory.word[i] == i;
    CHECK(all);
    CHECK_RAISES(emulate::launch(store_rows, {1}, {threads}, 1024, no_fence), std::runtime_error,
                 "no fence.proxy.async");
    sums = {0, 0};
    emulate::launch(copy_to_both, {2}, {threads}, 1032, right, 2);
    CHECK(sums[0] == count * (count - 1) / 2 && sums[1] == sums[0]);
    sums = {0, 0};
    try {
      emulate::launch(copy_to_both, {2}, {threads}, 1032, no_wait, 2);
      unseen += sums[0] != count * (count - 1) / 2;
    } catch (const std::runtime_error&) {
      ++ended;  // with the copy under way
    }
    emulate::launch(arrive_elsewhere, {2}, {threads}, 8, right, 2);
    try {
      emulate::launch(arrive_elsewhere, {2}, {threads}, 8, leaves, 2);
    } catch (const std::runtime_error&) {
      ++gone;
    }
    emulate::launch(gather, {1}, {threads}, 520, gathers);
    try {
      emulate::launch(gather, {1}, {threads}, 520, gathers_and_leaves);
    } catch (const std::runtime_error&) {
      ++left;
    }
  }
  CHECK(unseen + ended > 5);
  CHECK(gone > 5);
  CHECK(left > 5);
  CHECK_RAISES(emulate::launch(copy_to_both, {3}, {threads}, 1032, right, 2), std::runtime_error,
               "whole clusters");
  return check::finish();
}
