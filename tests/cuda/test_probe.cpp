// The probes, run in the emulation: they do the work that their plans say.
#include <cstdint>
#include <numeric>

#include "alphaflops/error.hpp"
#include "buffer.hpp"
#include "conv_check.hpp"
#include "kernels/probe_params.cuh"

using namespace alphaflops;
using namespace alphaflops::cuda;
using emulate::Memory;

namespace {

const Target target{90, true, 2, 227 * 1024};
const auto kernels = emulate::kernels_of({"probe.cuh", "probe_mma.cuh", "probe_wgmma.cuh"});

void run(const Plan& plan, Memory* input, Memory* output, Memory* workspace, Memory* flag) {
  emulate::Buffers buffers{};
  emulate::at(buffers, Buffer::input) = input;
  emulate::at(buffers, Buffer::output) = output;
  emulate::at(buffers, Buffer::workspace) = workspace;
  emulate::at(buffers, Buffer::flag) = flag;
  emulate::run_plan(plan, kernels, buffers);
}

void pipes() {
  for (const DType dtype : {DType::fp32, DType::tf32, DType::fp16, DType::bf16, DType::int8}) {
    const auto found = plans(ProbeProblem{Probe::fma, dtype, 3}, target);
    CHECK(found.size() == (dtype == DType::fp32 ? 1U : 2U));
    for (const Plan& plan : found) {
      Memory sums(static_cast<std::size_t>(plan.workspace_bytes));
      run(plan, nullptr, nullptr, &sums, nullptr);
      CHECK(sums.guards_intact());
      bool written = true;
      for (std::size_t i = 0; i < sums.bytes() / 4; ++i) {
        written = written && (dtype == DType::int8 ? sums.data<int>()[i] != -1
                                                   : std::isfinite(sums.data<float>()[i]));
      }
      CHECK_MESSAGE(written, plan.algorithm + " " + plan.tile + ": not all sums written");
    }
  }
  // 24 steps of x = 0.999 x + 0.01 in 16 chains that start at 0 .. 15 and the thread's number.
  const auto plan = plans(ProbeProblem{Probe::fma, DType::fp32, 3}, target)[0];
  Memory sums(static_cast<std::size_t>(plan.workspace_bytes));
  run(plan, nullptr, nullptr, &sums, nullptr);
  double x = 7.0 * 16 + 120.0;
  for (int i = 0; i < 24; ++i) x = 0.999 * x + 16 * 0.01;
  CHECK(std::fabs(static_cast<double>(sums.data<float>()[7]) - x) < 1e-3);
  CHECK(plan.operations == 2.0 * 24 * 16 * 256 * 8);
  // A warp of mma.sync: 3 iterations of 8 products 16 x 8 x 16.
  const auto mma = plans(ProbeProblem{Probe::fma, DType::fp16, 3}, target)[1];
  CHECK(mma.operations == 2.0 * 3 * 8 * (16 * 8 * 16) * 8 * 8);
  const auto wgmma = plans(ProbeProblem{Probe::fma, DType::int8, 3}, target)[0];
  CHECK(wgmma.operations == 2.0 * 3 * 16 * (64 * 128 * 32) * 8);
}

void memory(std::mt19937& random) {
  for (const std::int64_t bytes : {1, 15, 16, 4095, 65536, 100003}) {
    Memory x(static_cast<std::size_t>(bytes));
    for (std::int64_t i = 0; i < bytes; ++i)
      x.data<unsigned char>()[i] = static_cast<unsigned char>(random());
    for (const Plan& plan : plans(ProbeProblem{Probe::copy, DType::fp32, bytes}, target)) {
      Memory y(static_cast<std::size_t>(bytes));
      run(plan, &x, &y, nullptr, nullptr);
      CHECK(std::memcmp(x.data(), y.data(), x.bytes()) == 0 && y.guards_intact());
      CHECK(plan.bytes == 2.0 * static_cast<double>(bytes));
    }
  }
  Memory x(std::size_t{5000} * 16);
  std::uint32_t total = 0;
  for (int i = 0; i < 20000; ++i)
    total += x.data<std::uint32_t>()[i] = static_cast<std::uint32_t>(random());
  Plan plan = plans(ProbeProblem{Probe::read, DType::fp32, 5000 * 16}, target)[0];
  ReadProbeParams params;
  std::memcpy(&params, plan.launches[0].parameters.data(), sizeof(params));
  CHECK(plan.bytes == 16.0 * 5000 * params.repeats && plan.bytes > 2.6e8);
  params.repeats = 3;  // the emulation is slow
  plan.launches[0].parameters = bytes_of(params);
  Memory sums(static_cast<std::size_t>(plan.workspace_bytes));
  run(plan, &x, nullptr, &sums, nullptr);
  const auto* first = sums.data<std::uint32_t>();
  CHECK(std::accumulate(first, first + sums.bytes() / 4, std::uint32_t{0}) == 3 * total);

  const Plan flush = plans(ProbeProblem{Probe::flush, DType::fp32, 100000}, target)[0];
  Memory flushed(static_cast<std::size_t>(flush.workspace_bytes));
  run(flush, nullptr, nullptr, &flushed, nullptr);
  CHECK(flushed.bytes() == 100000 && flushed.guards_intact());
  CHECK(std::all_of(flushed.data(), flushed.data() + flushed.bytes(),
                    [](std::byte b) { return b == std::byte{0}; }));
}

void timing() {
  run(plans(ProbeProblem{Probe::empty, DType::fp32, 0}, target)[0], nullptr, nullptr, nullptr,
      nullptr);
  const auto waited_ns = [](unsigned word, std::int64_t timeout_ns) {
    Memory flag(4);
    *flag.data<unsigned>() = word;
    const long long begin = emulate::now_ns();
    run(plans(ProbeProblem{Probe::block, DType::fp32, timeout_ns}, target)[0], nullptr, nullptr,
        nullptr, &flag);
    return emulate::now_ns() - begin;
  };
  CHECK(waited_ns(1, 5'000'000'000) < 2'500'000'000);  // let go
  CHECK(waited_ns(0, 2'000'000) >= 2'000'000);         // gives up
  CHECK_RAISES(plans(ProbeProblem{Probe::block, DType::fp32, 0}, target), ShapeError,
               "amount is 0");
}

}  // namespace

int main() {
  std::mt19937 random(4);
  pipes();
  memory(random);
  timing();
  return check::finish();
}
