// The machine as a timer sees it: clocks, the processor a thread sits on, who disturbs it, what it
// is, and what it can do at most.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "alphaflops/isa.hpp"

namespace alphaflops {

/// The smallest step between two readings of the monotonic clock that differ, measured.
double clock_resolution_s();
/// What one reading costs, measured: the median of many.
double clock_cost_s();

/// Processors that the calling thread may run on; empty where the system does not say.
std::vector<int> thread_affinity();
/// Raises Error naming the processors where the system refuses. macOS has no such thing: nothing
/// happens.
void set_thread_affinity(const std::vector<int>& cpus);
/// The processor that the calling thread runs on now; -1 where the system does not say.
int current_cpu();

/// Time so far that a hypervisor gave to others while a processor (-1: any of them) had work to do.
/// In steps of usually 10 ms; 0 where the system does not count it.
double steal_time_s(int cpu = -1);
/// How often so far the calling thread was made to yield its processor; on macOS any thread of the
/// process.
std::int64_t involuntary_switches();

/// Clock of the processor under the calling thread, by timing a chain of dependent additions, which
/// takes `duration_s` or so.
double estimate_clock_hz(double duration_s = 50e-6);

/// What is recorded beside a measurement. Sizes are in bytes, 0 where the system does not say.
struct SystemInfo {
  std::string cpu_model;
  std::string hypervisor;  // its name, "unknown" for one that hides it, empty where none is seen
  std::string compiler;    // that built the kernels
  std::string kernel;      // operating system and release
  int logical_cpus = 0;
  std::int64_t l1d_bytes = 0, l2_bytes = 0, l3_bytes = 0;
  std::int64_t memory_bytes = 0;
};
SystemInfo system_info();

/// The most that one thread does.
struct Peak {
  double flops_per_s = 0.0;       // multiply-adds in registers, two a piece
  double bytes_read_per_s = 0.0;  // streaming from memory
};
/// Best of several short runs; takes `duration_s` or so. Raises UnsupportedError where this machine
/// lacks the instruction set.
Peak probe_peak(Isa isa = best_isa(), double duration_s = 1.0);

}  // namespace alphaflops
