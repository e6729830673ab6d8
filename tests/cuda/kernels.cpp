#include "kernels.hpp"

#include <stdexcept>

namespace emulate {

const std::vector<Header>& all_headers() {
  static const std::vector<Header> all = [] {
    std::vector<Header> headers;
    for (const auto family :
         {conv_channel_headers, conv_igemm_headers, conv_simt_headers, conv_wgmma_headers,
          conv_wgrad_headers, matmul_headers, probe_headers, recurrent_headers, stream_headers}) {
      for (Header& each : family()) {
        for (Entry& kernel : each.kernels) kernel.header = each.name;
        headers.push_back(std::move(each));
      }
    }
    return headers;
  }();
  return all;
}

std::vector<Entry> kernels_of(const std::vector<std::string_view>& names) {
  std::vector<Entry> found;
  for (const std::string_view name : names) {
    const std::size_t before = found.size();
    for (const Header& header : all_headers()) {
      for (const Entry& each : header.kernels) {
        if (header.name == name || each.symbol == name) found.push_back(each);
      }
    }
    if (found.size() == before) throw std::logic_error("no kernel or header " + std::string(name));
  }
  return found;
}

}  // namespace emulate
