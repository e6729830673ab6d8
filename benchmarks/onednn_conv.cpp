// oneDNN's convolution behind a C interface, for contenders.py: channels-last activations, weights
// in the format that oneDNN asks for, reordered once.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>

#include "contender.hpp"

namespace {

using dnnl::memory;

memory::data_type type_of(const std::string& name) {
  if (name == "bf16") return memory::data_type::bf16;
  if (name == "u8") return memory::data_type::u8;
  if (name == "s8") return memory::data_type::s8;
  if (name == "s32") return memory::data_type::s32;
  return memory::data_type::f32;
}

class OneDnn final : public Contender {
 public:
  OneDnn(const ContenderShape& s, const std::string& dtype, void* x, void* w, void* bias)
      : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    const bool int8 = dtype == "int8";
    const auto x_type = type_of(int8 ? "u8" : dtype);
    const auto w_type = type_of(int8 ? "s8" : dtype);
    const auto y_type = type_of(int8 ? "s32" : "fp32");
    const memory::dim out = (s.size + 2 * s.pad - s.kernel) / s.stride + 1;
    using tag = memory::format_tag;
    const memory::dims plain{s.c_out, s.c_in / s.groups, s.kernel, s.kernel};
    const memory::dims grouped{s.groups, s.c_out / s.groups, s.c_in / s.groups, s.kernel, s.kernel};
    const memory::dims& w_dims = s.groups > 1 ? grouped : plain;
    const memory::desc x_desc({s.batch, s.c_in, s.size, s.size}, x_type, tag::nhwc);
    const memory::desc y_desc({s.batch, s.c_out, out, out}, y_type, tag::nhwc);
    const memory::desc w_user(w_dims, w_type, s.groups > 1 ? tag::goihw : tag::oihw);
    const memory::desc w_any(w_dims, w_type, tag::any);
    const memory::desc b_desc({s.c_out}, y_type, tag::x);
    const dnnl::convolution_forward::primitive_desc plan(
        engine_, dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_auto, x_desc,
        w_any, b_desc, y_desc, {s.stride, s.stride}, {s.pad, s.pad}, {s.pad, s.pad});
    memory weights(plan.weights_desc(), engine_);
    memory from(w_user, engine_, w);
    dnnl::reorder(from, weights).execute(stream_, from, weights);
    stream_.wait();
    y_ = memory(y_desc, engine_);
    conv_ = dnnl::convolution_forward(plan);
    arguments_ = {{DNNL_ARG_SRC, memory(x_desc, engine_, x)},
                  {DNNL_ARG_WEIGHTS, weights},
                  {DNNL_ARG_BIAS, memory(b_desc, engine_, bias)},
                  {DNNL_ARG_DST, y_}};
  }

  void run() override {
    conv_.execute(stream_, arguments_);
    stream_.wait();
  }
  void read(void* to) override {
    const char* from = static_cast<const char*>(y_.get_data_handle());
    std::copy_n(from, y_.get_desc().get_size(), static_cast<char*>(to));
  }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::convolution_forward conv_;
  memory y_;
  std::unordered_map<int, memory> arguments_;
};

}  // namespace

/// Null, and a line on stderr, where oneDNN refuses. `x` and `bias` must outlive it.
CONTENDER_EXPORT Contender* onednn_create(const ContenderShape* shape, const char* dtype, void* x,
                                          void* w, void* bias) {
  try {
    return new OneDnn(*shape, dtype, x, w, bias);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "oneDNN: %s\n", error.what());
    return nullptr;
  }
}

CONTENDER_FUNCTIONS(onednn)
