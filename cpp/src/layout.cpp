// Checks and shares out the transpositions between layouts.
#include "alphaflops/layout.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "../kernels/dispatch.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/threads.hpp"

namespace alphaflops {
namespace {

using std::int64_t;

constexpr int64_t kGrain = 16;  // rows of the output that one thread takes at least

// y[b][column][row] = x[b][row][column]. Threads share the rows of the output.
void transpose(Isa isa, const float* x, float* y, int64_t batch, int64_t rows, int64_t columns,
               ThreadPool* pool) {
  const auto kernel = kernels::table(isa).transpose->run;
  const auto part = [&](int64_t index, int64_t parts) {
    const int64_t grains = (columns + kGrain - 1) / kGrain;
    const int64_t first = std::min(columns, grains * index / parts * kGrain);
    const int64_t last = std::min(columns, grains * (index + 1) / parts * kGrain);
    for (int64_t image = 0; image < batch; ++image) {
      const int64_t offset = image * rows * columns;
      kernels::TransposeArgs args{
          x + offset + first, y + offset + first * rows, rows, last - first, columns, rows};
      kernel(&args);
    }
  };
  if (pool == nullptr) {
    part(0, 1);
  } else {
    pool->run([&](int thread) { part(thread, pool->size()); });
  }
}

void check(const char* what, int64_t batch, int64_t channels, int64_t pixels) {
  for (const auto& [name, value] :
       {std::pair{"batch", batch}, std::pair{"channels", channels}, std::pair{"pixels", pixels}}) {
    if (value >= 0) continue;
    throw ShapeError(std::string(what) + ": " + name + " is " + std::to_string(value) +
                     "; it must be 0 or more");
  }
  const int64_t elements = checked_mul(checked_mul(batch, channels, what), pixels, what);
  checked_mul(elements, sizeof(float), what);
}

}  // namespace

std::string_view to_string(Layout layout) { return layout == Layout::nhwc ? "nhwc" : "nchw"; }

Layout parse_layout(std::string_view name) {
  for (const Layout each : {Layout::nhwc, Layout::nchw}) {
    if (to_string(each) == name) return each;
  }
  throw UnsupportedError("layout '" + std::string(name) + "' is neither nhwc nor nchw");
}

void nchw_to_nhwc(Isa isa, const float* x, float* y, int64_t batch, int64_t channels,
                  int64_t pixels, ThreadPool* pool) {
  check("nchw_to_nhwc", batch, channels, pixels);
  transpose(isa, x, y, batch, channels, pixels, pool);
}

void nhwc_to_nchw(Isa isa, const float* x, float* y, int64_t batch, int64_t channels,
                  int64_t pixels, ThreadPool* pool) {
  check("nhwc_to_nchw", batch, channels, pixels);
  transpose(isa, x, y, batch, pixels, channels, pool);
}

}  // namespace alphaflops
