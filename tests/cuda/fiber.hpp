// Stacks to switch between within one thread: a device thread of the emulation runs on each.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define AF_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AF_ASAN 1
#endif
#endif
#if defined(AF_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulate {

#if defined(__x86_64__)
/// Keeps this stack's registers and goes on with the other's (System V ABI).
[[gnu::naked, gnu::noinline]] inline void switch_stack(void** /*save*/, void* /*load*/) {
  asm volatile(
      "pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
      "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
      "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tretq");
}
#endif

/// A function on a stack of its own, which runs until it suspends.
class Fiber {
 public:
  using Entry = void (*)(void*);

  Fiber(Entry entry, void* argument) : entry_(entry), argument_(argument) {
    stack_ = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack_ == MAP_FAILED) throw std::bad_alloc();
    mprotect(stack_, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), PROT_NONE);  // overflow traps
#if defined(__x86_64__)
    // As if it had called switch_stack: six registers, then where to return to; at the entry of a
    // function the stack is 8 off a multiple of 16.
    auto* top = reinterpret_cast<void**>(static_cast<char*>(stack_) + stack_bytes);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(&start);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    own_ = top;
#else
    getcontext(&own_);
    own_.uc_stack.ss_sp = stack_;
    own_.uc_stack.ss_size = stack_bytes;
    own_.uc_link = nullptr;
    makecontext(&own_, &start, 0);
#endif
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber() {
#if defined(AF_ASAN)
    __asan_unpoison_memory_region(stack_, stack_bytes);  // of frames that were never left
#endif
    munmap(stack_, stack_bytes);
  }

  /// Runs the fiber until it suspends. Called outside of fibers.
  void resume() {
    running() = this;
#if defined(AF_ASAN)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, stack_, stack_bytes);
#endif
#if defined(__x86_64__)
    switch_stack(&caller_, own_);
#else
    swapcontext(&caller_, &own_);
#endif
#if defined(AF_ASAN)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  }

  /// Back to whoever resumed it. Called on the fiber.
  void suspend() {
#if defined(AF_ASAN)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, caller_stack_, caller_bytes_);
#endif
#if defined(__x86_64__)
    switch_stack(&own_, caller_);
#else
    swapcontext(&own_, &caller_);
#endif
#if defined(AF_ASAN)
    __sanitizer_finish_switch_fiber(fake, &caller_stack_, &caller_bytes_);
#endif
  }

 private:
#if defined(AF_ASAN)
  static constexpr std::size_t stack_bytes = 1u << 20;  // its frames are larger
#else
  static constexpr std::size_t stack_bytes = 1u << 18;
#endif

  static Fiber*& running() {
    static thread_local Fiber* fiber = nullptr;
    return fiber;
  }
  static void start() {
    Fiber* self = running();
#if defined(AF_ASAN)
    __sanitizer_finish_switch_fiber(nullptr, &self->caller_stack_, &self->caller_bytes_);
#endif
    self->entry_(self->argument_);  // never returns
    __builtin_trap();
  }

  Entry entry_;
  void* argument_;
  void* stack_;
#if defined(__x86_64__)
  void* own_ = nullptr;
  void* caller_ = nullptr;
#else
  ucontext_t own_, caller_;
#endif
#if defined(AF_ASAN)
  const void* caller_stack_ = nullptr;
  std::size_t caller_bytes_ = 0;
#endif
};

}  // namespace emulate
