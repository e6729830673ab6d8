// A convolution's sizes as its kernels have them, and where its elements lie.
//
// NHWC activations, weights [c_out][k_h][k_w][c_in / groups].
#pragma once

#include "types.cuh"

namespace alphaflops::cuda {

struct ConvGeometry {
  int batch, h_in, w_in, c_in;
  int h_out, w_out, c_out;
  int k_h, k_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  int groups, group_in, group_out;  // channels of a group
  int activation;
};

// Row or column of the input under tap `tap` of output `out`; outside of the input where padded.
AF_HOST_DEVICE int input_row(const ConvGeometry& g, int out, int tap) {
  return out * g.stride_h - g.pad_top + tap * g.dilation_h;
}
AF_HOST_DEVICE int input_column(const ConvGeometry& g, int out, int tap) {
  return out * g.stride_w - g.pad_left + tap * g.dilation_w;
}
AF_HOST_DEVICE bool inside(int at, int size) {
  return static_cast<unsigned>(at) < static_cast<unsigned>(size);
}

// Element at which a pixel's channels start.
AF_HOST_DEVICE long long input_pixel(const ConvGeometry& g, int n, int row, int column) {
  return ((static_cast<long long>(n) * g.h_in + row) * g.w_in + column) * g.c_in;
}
AF_HOST_DEVICE long long output_pixel(const ConvGeometry& g, int n, int row, int column) {
  return ((static_cast<long long>(n) * g.h_out + row) * g.w_out + column) * g.c_out;
}

// A rectangle of an image's output pixels that a block computes, and the input under it.
struct PixelTile {
  int height, width, across, down;  // size, and how many of them cover an image
  int patch_height, patch_width;    // of the input
  FastDivisor by_patch_width, by_across, by_image;
};

AF_HOST_DEVICE PixelTile make_tile(const ConvGeometry& g, int height, int width) {
  PixelTile t{};
  t.height = height;
  t.width = width;
  t.across = (g.w_out + width - 1) / width;
  t.down = (g.h_out + height - 1) / height;
  t.patch_height = (height - 1) * g.stride_h + (g.k_h - 1) * g.dilation_h + 1;
  t.patch_width = (width - 1) * g.stride_w + (g.k_w - 1) * g.dilation_w + 1;
  t.by_patch_width = make_divisor(static_cast<unsigned>(t.patch_width));
  t.by_across = make_divisor(static_cast<unsigned>(t.across));
  t.by_image = make_divisor(static_cast<unsigned>(t.across * t.down));
  return t;
}

// First output pixel of a tile; tiles go along rows, then down, then over images.
struct PixelOrigin {
  int image, row, column;
};

AF_HOST_DEVICE PixelOrigin tile_origin(const PixelTile& t, unsigned index) {
  const int image = static_cast<int>(divide_keep(index, t.by_image));
  const int down = static_cast<int>(divide_keep(index, t.by_across));
  return {image, down * t.height, static_cast<int>(index) * t.width};
}

}  // namespace alphaflops::cuda
