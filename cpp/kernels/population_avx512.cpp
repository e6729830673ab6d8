// Sums over a population of codes, AVX-512: a table of sixteen entries is two registers, and one
// permutation looks eight rows up in it.
#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header leaves the masked-off source undefined and then warns of it (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "population_table.hpp"

namespace alphaflops::kernels {
namespace {

#define AF_INLINE inline __attribute__((always_inline))

AF_INLINE long long word_at(const unsigned char* p) {
  long long word;
  __builtin_memcpy(&word, p, sizeof word);
  return word;
}

/// A word of digits of each of some rows, side by side. Words go through memory: general registers
/// and ports of stores are idle meanwhile, while inserting into vectors takes the permutations'
/// units.
template <int Rows>
AF_INLINE void pack(const unsigned char* p, std::int64_t stride, long long* words) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r, p += stride) words[r] = word_at(p);
}

/// Sums of doubles, eight rows to a vector.
struct Doubles {
  using Entry = double;
  using Sum = __m512d;
  static constexpr int rows = 8;

  /// Four digits of each row, from words of eight.
  static AF_INLINE __m512i digits(const long long* words, int half) {
    const __m512i all = _mm512_load_si512(words);
    return half == 0 ? all : _mm512_srli_epi64(all, 32);
  }
  /// The entries that the lowest four bits of each row's number choose.
  static AF_INLINE Sum look_up(const Entry* table, __m512i digits) {
    return _mm512_permutex2var_pd(_mm512_load_pd(table), digits, _mm512_load_pd(table + 8));
  }
  static AF_INLINE Sum start(double base) { return _mm512_set1_pd(base); }
  static AF_INLINE Sum add(Sum a, Sum b) { return _mm512_add_pd(a, b); }
  static AF_INLINE void store(double* to, Sum sum) { _mm512_storeu_pd(to, sum); }
};

/// Sums of whole numbers below 2^32, sixteen rows to a vector.
struct Counts {
  using Entry = std::uint32_t;
  using Sum = __m512i;
  static constexpr int rows = 16;

  static AF_INLINE __m512i digits(const long long* words, int half) {
    const __m512i low = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i which = half == 0 ? low : _mm512_add_epi32(low, _mm512_set1_epi32(1));
    return _mm512_permutex2var_epi32(_mm512_load_si512(words), which, _mm512_load_si512(words + 8));
  }
  static AF_INLINE Sum look_up(const Entry* table, __m512i digits) {
    return _mm512_permutexvar_epi32(digits, _mm512_load_si512(table));
  }
  static AF_INLINE Sum start(double base) {
    return _mm512_set1_epi32(static_cast<int>(static_cast<std::uint32_t>(base)));
  }
  static AF_INLINE Sum add(Sum a, Sum b) { return _mm512_add_epi32(a, b); }
  static AF_INLINE void store(double* to, Sum sum) {
    _mm512_storeu_pd(to, _mm512_cvtepu32_pd(_mm512_castsi512_si256(sum)));
    _mm512_storeu_pd(to + 8, _mm512_cvtepu32_pd(_mm512_extracti64x4_epi64(sum, 1)));
  }
};

/// Adds the entries of a pair of digits, which are the lowest of each row.
template <class Lanes, int Columns, int Vectors>
AF_INLINE void add_pair(const typename Lanes::Entry* table, std::int64_t digit,
                        const __m512i (&low)[Vectors],
                        typename Lanes::Sum (&sum)[Columns][Vectors]) {
  __m512i high[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) high[v] = _mm512_mulhi_epu16(low[v], _mm512_set1_epi16(256));
#pragma GCC unroll 4
  for (int c = 0; c < Columns; ++c) {
    const auto* first = table + c * kDigitEntries;
    const auto* second = first + digit;
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const auto both = Lanes::add(Lanes::look_up(first, low[v]), Lanes::look_up(second, high[v]));
      sum[c][v] = Lanes::add(sum[c][v], both);
    }
  }
}

template <class Lanes, int Columns, int Vectors>
void sums(const PopulationArgs* args) {
  constexpr int rows = Lanes::rows * Vectors;
  static_assert(kPopulationRows % rows == 0);
  const PopulationArgs a = *args;
  alignas(64) long long packed[2][kPopulationWords][rows];  // of these rows, and of the next
  constexpr std::int64_t ahead = 2048;                      // bytes
  const std::int64_t close = a.stride <= 64 ? a.stride : 0;
  const unsigned char* code = a.codes;
  for (std::int64_t w = 0; 4 * w < a.pairs; ++w) {
    pack<rows>(code + kWordDigits * w, a.stride, packed[0][w]);
  }
  for (std::int64_t row = 0; row < a.rows; row += rows) {
    const long long(*now)[rows] = packed[row / rows % 2];
    long long(*next)[rows] = packed[(row / rows + 1) % 2];
    if (row + rows < a.rows) code += rows * a.stride;
    typename Lanes::Sum sum[Columns][Vectors];
#pragma GCC unroll 4
    for (int c = 0; c < Columns; ++c) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[c][v] = Lanes::start(a.base[c]);
    }
    // Of a large population these come from memory; processors look ahead within a page alone.
    for (std::int64_t b = 0; b < rows * close; b += 64) __builtin_prefetch(code + ahead + b);
    const auto* table = static_cast<const typename Lanes::Entry*>(a.tables);
    for (std::int64_t w = 0; 4 * w < a.pairs; ++w) {
      pack<rows>(code + kWordDigits * w, a.stride, next[w]);
      __m512i most = _mm512_loadu_si512(a.most + 64 * w);
#pragma GCC unroll 4
      for (int r = 0; r < rows; r += 8) {
        most = _mm512_max_epu8(most, _mm512_load_si512(now[w] + r));
      }
      _mm512_storeu_si512(a.most + 64 * w, most);
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const std::int64_t pair = 4 * w + 2 * half;
        if (pair >= a.pairs) break;
        __m512i digits[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) {
          digits[v] = Lanes::digits(now[w] + Lanes::rows * v, half);
        }
        add_pair<Lanes, Columns, Vectors>(table, a.digit, digits, sum);
        table += 2 * a.digit;
        if (pair + 1 >= a.pairs) break;
        // Products move digits down, as shifts would take the permutations' units too.
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) {
          digits[v] = _mm512_madd_epi16(digits[v], _mm512_set1_epi32(1 << 16));
        }
        add_pair<Lanes, Columns, Vectors>(table, a.digit, digits, sum);
        table += 2 * a.digit;
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < Columns; ++c) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        Lanes::store(a.sums + c * a.column + row + Lanes::rows * v, sum[c][v]);
      }
    }
  }
}

/// Eight finished numbers, as they are stored.
AF_INLINE __m512d finished(const QuantityArgs& q, std::int64_t row) {
  const __m512d scaled = _mm512_mul_pd(_mm512_set1_pd(q.scale), _mm512_loadu_pd(q.sums + row));
  return q.integer ? _mm512_castsi512_pd(_mm512_cvttpd_epi64(scaled)) : scaled;
}

void write_one(const QuantityArgs* quantity, std::int64_t rows, char* to, std::int64_t stride) {
  const QuantityArgs q = *quantity;
  for (std::int64_t row = 0; row < rows; row += 8) {
    if (stride == 8) {
      _mm512_storeu_pd(to + 8 * row, finished(q, row));
      continue;
    }
    alignas(64) char words[64];
    _mm512_store_pd(words, finished(q, row));
    for (int r = 0; r < 8; ++r) __builtin_memcpy(to + (row + r) * stride, words + 8 * r, 8);
  }
}

void write_four(const QuantityArgs* quantities, std::int64_t rows, char* to, std::int64_t stride) {
  const QuantityArgs a = quantities[0], b = quantities[1], c = quantities[2], d = quantities[3];
  for (std::int64_t row = 0; row < rows; row += 8) {
    const __m512d x = finished(a, row), y = finished(b, row);
    const __m512d z = finished(c, row), w = finished(d, row);
    // Two of a row, rows 0, 2, 4, 6 and 1, 3, 5, 7; then all four, two rows at a time.
    const __m512d xy[2] = {_mm512_unpacklo_pd(x, y), _mm512_unpackhi_pd(x, y)};
    const __m512d zw[2] = {_mm512_unpacklo_pd(z, w), _mm512_unpackhi_pd(z, w)};
    char* at = to + row * stride;
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd, at += stride) {
      const __m512d low = _mm512_shuffle_f64x2(xy[odd], zw[odd], 0x44);  // rows 0, 2 of each
      const __m512d high = _mm512_shuffle_f64x2(xy[odd], zw[odd], 0xee);
      const __m512d first = _mm512_shuffle_f64x2(low, low, 0xd8);
      const __m512d second = _mm512_shuffle_f64x2(high, high, 0xd8);
      _mm256_storeu_pd(reinterpret_cast<double*>(at), _mm512_castpd512_pd256(first));
      _mm256_storeu_pd(reinterpret_cast<double*>(at + 2 * stride),
                       _mm512_extractf64x4_pd(first, 1));
      _mm256_storeu_pd(reinterpret_cast<double*>(at + 4 * stride), _mm512_castpd512_pd256(second));
      _mm256_storeu_pd(reinterpret_cast<double*>(at + 6 * stride),
                       _mm512_extractf64x4_pd(second, 1));
    }
  }
}

}  // namespace

const PopulationTable population_avx512{
    {sums<Doubles, 1, 4>, sums<Doubles, 2, 4>, sums<Doubles, 3, 2>, sums<Doubles, 4, 2>},
    {sums<Counts, 1, 2>, sums<Counts, 2, 2>, sums<Counts, 3, 2>, sums<Counts, 4, 2>},
    write_one,
    write_four};

}  // namespace alphaflops::kernels
