// What a warp's matrix instructions do, lane by lane (PTX ISA, fragments of mma and ldmatrix).
#pragma once

#include <cstdint>
#include <cstring>

namespace emulate {

struct Half {
  std::uint16_t bits;
};
struct Bf16 {
  std::uint16_t bits;
};

inline float element(Half x) { return half_to_float(x.bits); }
inline float element(Bf16 x) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(x.bits) << 16);
}
inline int element(signed char x) { return x; }
/// The matrix units read a tf32 from the upper 19 bits of a float.
inline float element(float x) {
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, x) & 0xffffe000u);
}

inline void store_word(std::uint64_t at, unsigned word) {
  auto* to = reinterpret_cast<unsigned*>(at);
  *to = word;
  block().wrote(to, &block().current());
}

inline void load_matrices(unsigned (&to)[4], std::uint64_t row, bool transposed) {
  if (row % 16 != 0) fail("ldmatrix of a row that is not aligned to 16 bytes");
  struct Words {
    unsigned word[4];
  };
  const Words words = collective(~0u, row, [transposed](const std::uint64_t* rows, int lane) {
    Words result;
    for (int tile = 0; tile < 4; ++tile) {
      std::uint16_t pair[2];
      for (int i = 0; i < 2; ++i) {
        const int y = transposed ? 2 * (lane % 4) + i : lane / 4;
        const int x = transposed ? lane / 4 : 2 * (lane % 4) + i;
        const auto* from = reinterpret_cast<const std::uint16_t*>(rows[8 * tile + y]);
        std::memcpy(&pair[i], from + x, sizeof(pair[i]));
      }
      std::memcpy(&result.word[tile], pair, sizeof(pair));
    }
    return result;
  });
  for (int i = 0; i < 4; ++i) to[i] = words.word[i];
}

template <class Element, class Sum>
void multiply_add(Sum (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  struct Operands {
    unsigned a[4], b[2];
  };
  struct Result {
    Sum d[4];
  };
  Operands own;
  Result result;
  std::memcpy(own.a, a, sizeof(a));
  std::memcpy(own.b, b, sizeof(b));
  std::memcpy(result.d, d, sizeof(d));
  result = collective(~0u, own, [result](const Operands* lanes, int lane) {
    Result sums = result;
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      for (int word = 0; word < 8; ++word) {
        Element x[4 / sizeof(Element)], y[4 / sizeof(Element)];
        std::memcpy(x, &lanes[row % 8 * 4 + word % 4].a[row / 8 + word / 4 * 2], 4);
        std::memcpy(y, &lanes[column * 4 + word % 4].b[word / 4], 4);
        for (std::size_t e = 0; e < 4 / sizeof(Element); ++e) {
          sums.d[i] += static_cast<Sum>(element(x[e])) * static_cast<Sum>(element(y[e]));
        }
      }
    }
    return sums;
  });
  std::memcpy(d, result.d, sizeof(d));
}

}  // namespace emulate
