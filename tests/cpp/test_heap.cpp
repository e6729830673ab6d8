// What is allocated in a heap full of holes lies side by side once they are filled.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "alphaflops/heap.hpp"
#include "check.hpp"

using namespace alphaflops;

namespace {

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

constexpr std::size_t block_bytes = 256 << 10;
constexpr std::size_t blocks = 64;

struct Span {
  std::uintptr_t first = UINTPTR_MAX, last = 0;
};

/// Where as many blocks come to lie as there are holes; they are freed again.
Span span_of_new_blocks() {
  std::vector<void*> fresh;
  Span span;
  for (std::size_t i = 0; i < blocks; ++i) {
    fresh.push_back(std::malloc(block_bytes));
    std::memset(fresh.back(), 1, block_bytes);
    const auto address = reinterpret_cast<std::uintptr_t>(fresh.back());
    span.first = std::min(span.first, address);
    span.last = std::max(span.last, address + block_bytes);
  }
  for (void* block : fresh) std::free(block);
  return span;
}

void test_filling() {
  // A freed block of this size lets glibc take such blocks from its heap instead of mapping them.
  void* once = std::malloc(std::size_t{31} << 20);
  CHECK(once != nullptr);
  std::free(once);

  // Holes with room for four blocks, so that there is more of them than the new blocks take.
  std::vector<void*> walls;
  std::vector<void*> holes;
  for (std::size_t i = 0; i < blocks; ++i) {
    holes.push_back(std::malloc(4 * block_bytes));
    walls.push_back(std::malloc(block_bytes));
  }
  const auto end_of_holes = reinterpret_cast<std::uintptr_t>(walls.back());
  for (void* hole : holes) std::free(hole);

  HeapFilling filling;
  CHECK(filling.bytes() == 0);
  std::thread([&filling] { CHECK(filling.fill(block_bytes / 4) == 0); }).join();
  const Span before = span_of_new_blocks();
  CHECK(before.first < end_of_holes);  // else there is nothing to be shown

  const std::size_t filled = filling.fill(block_bytes / 4);
  CHECK(filling.bytes() == filled);
  CHECK(filling.bytes() >= 3 * blocks * block_bytes);
  CHECK(filling.bytes() <= 5 * blocks * block_bytes);
  const Span after = span_of_new_blocks();
  CHECK(after.first > end_of_holes);
  CHECK(after.last - after.first < blocks * (block_bytes + 4096));

  const std::size_t held = filling.bytes();
  filling.fill(block_bytes / 4);
  CHECK(filling.bytes() == held);  // what was freed is at the heap's end, and no hole

  {
    HeapFilling other;
    for (void* wall : walls) std::free(wall);
    other.fill(block_bytes / 4);
    CHECK(other.bytes() >= blocks * block_bytes / 2);
  }
  CHECK(span_of_new_blocks().first < end_of_holes);  // given back

  // Holes that hold just so much, and a size that no hole has.
  HeapFilling last;
  last.fill(block_bytes / 4);
  std::vector<void*> small;
  for (std::size_t i = 0; i < 2 * blocks; ++i) small.push_back(std::malloc(40'960));
  for (std::size_t i = 0; i < 2 * blocks; i += 2) std::free(small[i]);
  CHECK(last.fill(65'536) == 0);
  CHECK(last.fill(40'960) >= blocks / 2 * 40'960);
  last.fill(0);  // of pages
  CHECK(last.fill(0) == 0);
  for (std::size_t i = 1; i < 2 * blocks; i += 2) std::free(small[i]);

  // What is free in one piece is taken, at the heap's end too.
  constexpr std::size_t large = std::size_t{16} << 20;
  void* piece = std::malloc(large);
  std::free(piece);
  HeapFilling taking;
  taking.hold(large);
  void* next = std::malloc(large);
  CHECK(next != piece);
  std::free(next);
  taking.let_go();
}

#else  // a heap of another kind, which stays as it is

void test_filling() {
  HeapFilling filling;
  filling.fill(std::size_t{1} << 16);
  CHECK(filling.bytes() == 0);
}

#endif

}  // namespace

int main() {
  test_filling();
  return check::finish();
}
