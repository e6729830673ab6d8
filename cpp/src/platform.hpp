// What each operating system is asked for in its own way: platform_linux.cpp, platform_macos.cpp.
// system.hpp has more of it.
#pragma once

#include <cstddef>
#include <thread>
#include <vector>

#include "alphaflops/system.hpp"

namespace alphaflops {

/// Fills in the processor, its caches, the memory and the hypervisor, as far as the system says.
void describe_machine(SystemInfo& info);

/// Keeps a thread on some processors; false where the system refuses or has no such thing.
bool bind_thread(std::thread::native_handle_type thread, const std::vector<int>& cpus);

/// Gives whole pages of an anonymous mapping back to the system; they read as zero.
void discard_pages(void* first, std::size_t bytes);

}  // namespace alphaflops
