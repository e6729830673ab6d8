// Convolution kernels against a float64 reference: every algorithm on every instruction set.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "alphaflops/conv.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/probe.hpp"
#include "buffer.hpp"
#include "check.hpp"
#include "conv_cases.hpp"

namespace {

using namespace alphaflops;
using check::Buffer;
using check::describe;
using check::random_shape;
using check::shape;
using std::int64_t;

// Whole numbers come out whole, but for the fractions in Winograd's transforms.
double tolerance(ConvAlgorithm algorithm, bool exact) {
  const bool winograd =
      algorithm == ConvAlgorithm::winograd2 || algorithm == ConvAlgorithm::winograd4;
  return exact && !winograd ? 0.0 : 1e-5;
}

// All algorithms and instruction sets on one shape, with real and with small whole numbers.
void check_shape(const Conv2dShape& s, std::mt19937& random) {
  for (const bool exact : {false, true}) {
    const bool with_bias = random() % 4 != 0;
    const auto activation = static_cast<Activation>(random() % 3);
    const int shift = static_cast<int>(random() % 16);
    Buffer x(s.batch * s.h_in * s.w_in * s.c_in, shift);
    Buffer w(s.c_out * (s.c_in / s.groups) * s.k_h * s.k_w, shift + 1);
    Buffer bias(s.c_out, shift);
    for (Buffer* each : {&x, &w, &bias})
      exact ? each->fill_integers(random) : each->fill_random(random);
    const std::vector<double> expected =
        check::reference(s, x.data(), w.data(), with_bias ? bias.data() : nullptr, activation);
    Buffer y(static_cast<int64_t>(expected.size()), shift / 2 + 1);

    for (Isa isa : available_isas()) {
      for (ConvAlgorithm algorithm : algorithms(s, isa)) {
        const Conv2d conv(s, isa, algorithm);
        Buffer packed(static_cast<int64_t>(conv.packed_size()), shift);
        Buffer workspace(static_cast<int64_t>(conv.workspace_size()), shift);
        y.poison();
        conv.pack(w.data(), packed.data());
        conv.run(x.data(), packed.data(), with_bias ? bias.data() : nullptr, y.data(),
                 conv.workspace_size() == 0 ? nullptr : workspace.data(), activation);
        const double error = check::relative_error(y.data(), expected);
        const std::string name = describe(s, isa, algorithm) + " error " + std::to_string(error);
        CHECK_MESSAGE(error <= tolerance(algorithm, exact), name);
        CHECK_MESSAGE(x.guards_intact() && w.guards_intact() && bias.guards_intact() &&
                          y.guards_intact() && packed.guards_intact() && workspace.guards_intact(),
                      "wrote outside an array: " + name);
      }
    }
  }
}

void edge_cases(std::mt19937& random) {
  std::vector<Conv2dShape> shapes = {
      shape(1, 1, 1, 1, 1, 0),    shape(5, 1, 7, 3, 1, 1),     shape(1, 5, 1, 5, 1, 0),
      shape(3, 3, 17, 5, 1, 1),   shape(1, 9, 33, 3, 1, 1),    shape(33, 9, 1, 3, 1, 1),
      shape(3, 15, 70, 7, 2, 3),  shape(4, 14, 20, 11, 4, 2),  shape(2, 2, 3, 2, 3, 4),
      shape(8, 4, 16, 1, 2, 0),   shape(16, 7, 64, 3, 1, 1),   shape(1100, 2, 18, 1, 1, 0),
      shape(600, 2, 65, 3, 1, 1), shape(2100, 1, 40, 1, 1, 0), shape(1024, 4, 20, 1, 1, 0),
      shape(1024, 4, 20, 2, 1, 0)};
  Conv2dShape linear = shape(300, 1, 130, 1, 1, 0);
  for (int64_t rows : {1, 2, 5, 9, 23}) {
    linear.batch = rows;
    shapes.push_back(linear);
  }
  Conv2dShape wide = shape(2, 1, 3, 1, 1, 0);  // windows that lie in the padding altogether
  wide.k_w = 2;
  wide.pad_left = wide.pad_right = 4;
  wide.pad_top = 2;
  shapes.push_back(wide);
  wide.c_in = wide.c_out = wide.groups = 5;
  wide.k_w = 3;
  shapes.push_back(wide);
  for (int64_t kernel : {3, 5, 7}) {
    for (int64_t stride : {1, 2}) {
      for (int64_t size : {4, 7, 15, 23}) {
        Conv2dShape depthwise = shape(35, size, 35, kernel, stride, kernel / 2);
        depthwise.groups = 35;
        shapes.push_back(depthwise);
      }
    }
  }
  for (const Conv2dShape& each : shapes) check_shape(each, random);
}

// Winograd loses little: 2e-6 with 512 channels, where direct loses 1e-6.
void winograd_error(std::mt19937& random) {
  const Conv2dShape s = shape(512, 7, 24, 3, 1, 1);
  Buffer x(512 * 49), w(24 * 512 * 9), y(24 * 49);
  x.fill_random(random);
  w.fill_random(random);
  const std::vector<double> expected =
      check::reference<float, float, float>(s, x.data(), w.data(), nullptr, Activation::none);
  for (ConvAlgorithm algorithm : {ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
    const Conv2d conv(s, best_isa(), algorithm);
    Buffer packed(static_cast<int64_t>(conv.packed_size()));
    Buffer workspace(static_cast<int64_t>(conv.workspace_size()));
    conv.pack(w.data(), packed.data());
    conv.run(x.data(), packed.data(), nullptr, y.data(), workspace.data());
    CHECK(check::relative_error(y.data(), expected) <= 4e-6);
  }
  for (auto change :
       {+[](Conv2dShape& c) { c.k_w = 5; }, +[](Conv2dShape& c) { c.stride_h = 2; },
        +[](Conv2dShape& c) { c.groups = 2; }, +[](Conv2dShape& c) { c.dilation_w = 2; }}) {
    Conv2dShape other = s;
    change(other);
    CHECK_RAISES(Conv2d(other, Isa::scalar, ConvAlgorithm::winograd4), UnsupportedError,
                 "winograd4 takes a 3x3 kernel");
  }
}

// Threads that ask at once get one answer, and it is an algorithm that does the shape.
void tuning() {
  const Isa isa = best_isa();
  Conv2dShape depthwise = shape(24, 9, 24, 3, 1, 1);
  depthwise.groups = 24;
  CHECK(algorithms(depthwise, isa).size() == 3);
  CHECK(algorithms(shape(8, 6, 8, 3, 1, 1), isa).size() == 4);
  for (const Conv2dShape& s : {shape(32, 12, 32, 3, 1, 1), depthwise, shape(16, 4, 9, 1, 1, 0)}) {
    std::vector<ConvAlgorithm> answers(3);
    std::vector<std::thread> pool;
    for (ConvAlgorithm& each : answers) pool.emplace_back([&] { each = tune(s, isa); });
    for (std::thread& each : pool) each.join();
    const std::vector<ConvAlgorithm> known = algorithms(s, isa);
    CHECK(std::count(known.begin(), known.end(), answers[0]) == 1);
    CHECK(answers[1] == answers[0] && answers[2] == answers[0] && tune(s, isa) == answers[0]);
    const ConvAlgorithm plain = tune(s, isa, false);
    CHECK(plain != ConvAlgorithm::winograd2 && plain != ConvAlgorithm::winograd4);
  }
  CHECK_RAISES(tune(shape(8, 2, 8, 5, 1, 0), isa), ShapeError, "k_h 5");
}

void errors() {
  Conv2dShape good = shape(8, 8, 8, 3, 1, 1);
  const auto with = [&](auto change) {
    Conv2dShape s = good;
    change(s);
    return s;
  };
  CHECK_RAISES(Conv2d(with([](auto& s) { s.k_h = 11; })), ShapeError, "k_h 11");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.k_w = 6, s.dilation_w = 2; })), ShapeError, "spans 11");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.batch = 0; })), ShapeError, "batch is 0");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.c_in = 0; })), ShapeError, "c_in is 0");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.c_out = -4; })), ShapeError, "c_out is -4");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.h_in = 0; })), ShapeError, "h_in is 0");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.w_in = -1; })), ShapeError, "w_in is -1");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.k_w = 0; })), ShapeError, "k_w is 0");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.stride_h = 0; })), ShapeError, "stride_h is 0");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.dilation_w = 0; })), ShapeError, "dilation_w is 0");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.pad_left = -1; })), ShapeError, "pad_left is -1");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.pad_bottom = -2; })), ShapeError, "pad_bottom is -2");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.groups = 0; })), ShapeError, "groups is 0");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.groups = 3; })), ShapeError,
               "groups 3 does not divide c_in 8");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.groups = 4, s.c_out = 6; })), ShapeError,
               "does not divide c_out 6");
  constexpr int64_t kHuge = int64_t{1} << 61;
  CHECK_RAISES(Conv2d(with([](auto& s) { s.h_in = kHuge; })), OverflowError, "conv2d");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.c_out = kHuge; })), OverflowError, "conv2d");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.pad_top = std::numeric_limits<int64_t>::max(); })),
               OverflowError, "padded");
  CHECK_RAISES(Conv2d(with([](auto& s) { s.dilation_h = std::numeric_limits<int64_t>::max(); })),
               OverflowError, "extent");
  CHECK_RAISES(Conv2d(good, Isa::scalar, ConvAlgorithm::depthwise), UnsupportedError, "depthwise");
  CHECK_RAISES(Conv2d(good, static_cast<Isa>(7)), UnsupportedError, "available");
  const Conv2d conv(good, Isa::scalar);
  CHECK_RAISES(conv.run(nullptr, nullptr, nullptr, nullptr, nullptr, Activation::gelu),
               UnsupportedError, "gelu");
  CHECK(conv.shape().macs() == 8 * 8 * 8 * 8 * 9);
  CHECK(conv.algorithm() == ConvAlgorithm::direct && conv.isa() == Isa::scalar);
}

void instruction_sets() {
  const std::vector<Isa> isas = available_isas();
  CHECK(!isas.empty() && isas.front() == Isa::scalar);
  for (Isa isa : isas) CHECK(parse_isa(to_string(isa)) == isa);
  CHECK_RAISES(parse_isa("sse9"), UnsupportedError, "sse9");
  const char* set = std::getenv("ALPHAFLOPS_ISA");
  const std::string before = set == nullptr ? "" : set;
  ::setenv("ALPHAFLOPS_ISA", "scalar", 1);
  CHECK(best_isa() == Isa::scalar);
  ::setenv("ALPHAFLOPS_ISA", "sse9", 1);
  CHECK_RAISES(best_isa(), UnsupportedError, "available: scalar");
  ::setenv("ALPHAFLOPS_ISA", before.c_str(), 1);
}

// One plan, run by several threads at once.
void threads(std::mt19937& random) {
  const Conv2dShape s = shape(16, 14, 40, 3, 1, 1);
  Buffer x(s.h_in * s.w_in * s.c_in), w(s.c_out * s.c_in * 9);
  x.fill_random(random);
  w.fill_random(random);
  const std::vector<double> expected =
      check::reference<float, float, float>(s, x.data(), w.data(), nullptr, Activation::none);
  for (ConvAlgorithm algorithm : {ConvAlgorithm::direct, ConvAlgorithm::gemm}) {
    const Conv2d conv(s, available_isas().back(), algorithm);
    Buffer packed(static_cast<int64_t>(conv.packed_size()));
    conv.pack(w.data(), packed.data());
    std::vector<Buffer> outputs(4, Buffer(static_cast<int64_t>(expected.size())));
    std::vector<Buffer> workspaces(4, Buffer(static_cast<int64_t>(conv.workspace_size())));
    std::vector<std::thread> pool;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      pool.emplace_back([&, i] {
        conv.run(x.data(), packed.data(), nullptr, outputs[i].data(), workspaces[i].data());
      });
    }
    for (std::thread& each : pool) each.join();
    for (const Buffer& y : outputs) CHECK(check::relative_error(y.data(), expected) <= 1e-5);
  }
}

void propagates_nan() {
  const Conv2dShape s = shape(4, 5, 20, 3, 1, 1);
  for (Isa isa : available_isas()) {
    const Conv2d conv(s, isa);
    Buffer x(100), w(20 * 4 * 9), packed(static_cast<int64_t>(conv.packed_size())), y(500);
    std::fill_n(x.data(), 100, 1.0f);
    std::fill_n(w.data(), w.size(), 1.0f);
    x[0] = std::numeric_limits<float>::quiet_NaN();
    conv.pack(w.data(), packed.data());
    conv.run(x.data(), packed.data(), nullptr, y.data(), nullptr, Activation::relu6);
    CHECK(std::isnan(y[0]) && std::isnan(y[19]) && y[2 * 20] == 6.0f);
  }
}

}  // namespace

int main() {
  std::mt19937 random(20240531);
  instruction_sets();
  errors();
  edge_cases(random);
  propagates_nan();
  tuning();
  winograd_error(random);
  threads(random);
  const int count = check::shape_count(400);
  for (int i = 0; i < count; ++i) check_shape(random_shape(random, 1000000), random);
  return check::finish();
}
