// bf16 and int8 convolution against a float64 reference, on every instruction set that has them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "alphaflops/conv_narrow.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/probe.hpp"
#include "alphaflops/threads.hpp"
#include "buffer.hpp"
#include "check.hpp"
#include "conv_cases.hpp"

namespace {

using namespace alphaflops;
using check::Array;
using std::int64_t;

template <class Input, class Weight, class Output>
void check_shape(const Conv2dShape& s, std::mt19937& random) {
  using Conv = NarrowConv2d<Input, Weight, Output>;
  constexpr bool kInteger = std::is_integral_v<Output>;
  for (const bool exact : {false, true}) {
    const bool with_bias = random() % 4 != 0;
    const auto activation = static_cast<Activation>(random() % (kInteger ? 2 : 3));
    const int shift = static_cast<int>(random() % 16);
    Array<Input> x(s.batch * s.h_in * s.w_in * s.c_in, shift);
    Array<Weight> w(s.c_out * (s.c_in / s.groups) * s.k_h * s.k_w, shift + 1);
    Array<Output> bias(s.c_out, shift);
    exact ? x.fill_integers(random) : x.fill_random(random);
    exact ? w.fill_integers(random) : w.fill_random(random);
    bias.fill_integers(random);
    const std::vector<double> expected =
        check::reference(s, x.data(), w.data(), with_bias ? bias.data() : nullptr, activation);
    Array<Output> y(static_cast<int64_t>(expected.size()), shift / 2 + 1);

    for (Isa isa : available_isas(Conv::kDType)) {
      for (ConvAlgorithm algorithm : {ConvAlgorithm::direct, ConvAlgorithm::gemm}) {
        const Conv conv(s, isa, algorithm);
        const int parts = random() % 2 == 0 ? 1 : 3;
        Array<Weight> packed(static_cast<int64_t>(conv.packed_size()), shift);
        Array<Input> workspace(static_cast<int64_t>(conv.workspace_size()), shift);
        y.poison();
        conv.pack(w.data(), packed.data());
        for (int part = 0; part < parts; ++part) {
          workspace.poison();
          conv.run_part(part, parts, x.data(), packed.data(), with_bias ? bias.data() : nullptr,
                        y.data(), conv.workspace_size() == 0 ? nullptr : workspace.data(),
                        activation);
        }
        const double error = check::relative_error(y.data(), expected);
        const std::string name = std::string(to_string(Conv::kDType)) + " " +
                                 check::describe(s, isa, algorithm) + " parts " +
                                 std::to_string(parts) + " error " + std::to_string(error);
        CHECK_MESSAGE(error <= (kInteger || exact ? 0.0 : 1e-5), name);
        CHECK_MESSAGE(x.guards_intact() && w.guards_intact() && bias.guards_intact() &&
                          y.guards_intact() && packed.guards_intact() && workspace.guards_intact(),
                      "wrote outside an array: " + name);
      }
    }
  }
}

void check_both(const Conv2dShape& s, std::mt19937& random) {
  check_shape<Bf16, Bf16, float>(s, random);
  check_shape<std::uint8_t, std::int8_t, std::int32_t>(s, random);
}

void on_a_pool(std::mt19937& random) {
  const Conv2dShape s = check::shape(18, 9, 40, 3, 1, 1);
  Array<std::uint8_t> x(18 * 81);
  Array<std::int8_t> w(40 * 18 * 9);
  x.fill_random(random);
  w.fill_random(random);
  const std::vector<double> expected = check::reference<std::uint8_t, std::int8_t, std::int32_t>(
      s, x.data(), w.data(), nullptr, Activation::none);
  ThreadPool pool(2, false);
  for (ConvAlgorithm algorithm : {ConvAlgorithm::direct, ConvAlgorithm::gemm}) {
    const Conv2dInt8 conv(s, best_isa(DType::int8), algorithm);
    Array<std::int8_t> packed(static_cast<int64_t>(conv.packed_size()));
    Array<std::uint8_t> workspace(static_cast<int64_t>(conv.workspace_size(2)));
    Array<std::int32_t> y(40 * 81);
    conv.pack(w.data(), packed.data());
    conv.run(pool, x.data(), packed.data(), nullptr, y.data(), workspace.data());
    CHECK(check::relative_error(y.data(), expected) == 0.0);
    CHECK(workspace.guards_intact());
  }
}

// The largest sums that fit, and one that wraps, alike on every instruction set.
void int8_extremes() {
  for (Isa isa : available_isas(DType::int8)) {
    const Conv2dShape s = check::shape(65792, 1, 1, 1, 1, 0);
    const Conv2dInt8 conv(s, isa);
    std::vector<std::uint8_t> x(65792, 255);
    std::vector<std::int8_t> w(65792, -128), packed(conv.packed_size());
    conv.pack(w.data(), packed.data());
    std::int32_t y = 0;
    conv.run(x.data(), packed.data(), nullptr, &y, nullptr);
    CHECK(y == -255 * 128 * 65792);
    const std::int32_t bias = std::numeric_limits<std::int32_t>::min();
    conv.run(x.data(), packed.data(), &bias, &y, nullptr);
    CHECK(y == static_cast<std::int32_t>(static_cast<std::uint32_t>(bias) - 255u * 128u * 65792u));
  }
}

void rounding() {
  CHECK(to_bf16(1.0f).bits == 0x3f80 && to_float(Bf16{0x4049}) == 3.140625f);
  CHECK(to_bf16(1.00390625f).bits == 0x3f80);  // halfway, to even
  CHECK(to_bf16(1.01171875f).bits == 0x3f82);
  CHECK(to_bf16(3.4e38f).bits == 0x7f80);
  CHECK(to_bf16(-0.0f).bits == 0x8000);
  CHECK(std::isnan(to_float(to_bf16(std::numeric_limits<float>::signaling_NaN()))));
  CHECK(std::isinf(to_float(to_bf16(std::numeric_limits<float>::infinity()))));
}

void errors() {
  const Conv2dShape s = check::shape(8, 8, 8, 3, 1, 1);
  CHECK_RAISES(Conv2dBf16(s, Isa::avx2), UnsupportedError,
               "avx2 for bf16 is not on this processor");
  CHECK_RAISES(Conv2dInt8(s, Isa::avx2), UnsupportedError, "int8");
  CHECK_RAISES(available_isas(DType::fp16), UnsupportedError, "fp16");
  CHECK_RAISES(Conv2dInt8(s, Isa::scalar, ConvAlgorithm::winograd4), UnsupportedError, "fp32 only");
  Conv2dShape depthwise = s;
  depthwise.groups = 8;
  CHECK(Conv2dBf16(depthwise, Isa::scalar).algorithm() == ConvAlgorithm::direct);
  CHECK_RAISES(Conv2dBf16(depthwise, Isa::scalar, ConvAlgorithm::depthwise), UnsupportedError,
               "fp32 only");
  const Conv2dInt8 conv(s, Isa::scalar);
  CHECK_RAISES(conv.run(nullptr, nullptr, nullptr, nullptr, nullptr, Activation::relu6),
               UnsupportedError, "relu6");
  for (Isa isa : available_isas(DType::bf16)) CHECK(peak_bf16(isa, 10) > 0.0);
  for (Isa isa : available_isas(DType::int8)) CHECK(peak_int8(isa, 10) > 0.0);
}

}  // namespace

int main() {
  std::mt19937 random(99);
  rounding();
  errors();
  int8_extremes();
  on_a_pool(random);
  for (const Conv2dShape& s :
       {check::shape(3, 15, 70, 7, 2, 3), check::shape(5, 1, 7, 1, 1, 0),
        check::shape(1, 5, 1, 5, 1, 0), check::shape(600, 3, 65, 3, 1, 1),
        check::shape(2100, 1, 40, 1, 1, 0), check::shape(2, 2, 3, 2, 3, 4)}) {
    check_both(s, random);
  }
  const int count = check::shape_count(250);
  for (int i = 0; i < count; ++i) check_both(check::random_shape(random, 500000), random);
  return check::finish();
}
