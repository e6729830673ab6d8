// A population of networks priced by looking up and adding, as compiled_space.hpp has it:
//
//   cost(code) = base + sum over tables t of  t[code[p1], code[p2], ...]
//
// A thread prices a network. Blocks read codes a tile at a time, all bytes side by side, into
// shared memory; where tables fit there they are kept there too (population_<columns>_shared), else
// they are read through the caches (population_<columns>_global). Sums are added in the order of
// the tables, as on the processor.
#pragma once

#include "device.cuh"

namespace alphaflops::cuda {

inline constexpr int population_threads = 256;  // at most

// As Lookup in space_tables.hpp.
struct PopulationLookup {
  unsigned offset;
  int digits;
  unsigned stride[4];
  unsigned short position[4];
  unsigned char last[4];  // the largest choice
  int unused;
};

// As Finish in space_tables.hpp.
enum PopulationKind : int { population_linear = 0, population_interval = 1, population_peak = 2 };
struct PopulationFinish {
  int kind, column, first_width, widths;
  int integer, unused;
  double scale;
};

struct PopulationDigit {
  int position, last;
};

struct PopulationParams {
  const unsigned char* codes;  // [rows][positions]
  const double* values;        // of all sums, then of all peaks
  const PopulationLookup* lookups;
  const double* base;  // [columns], and of the peak
  const PopulationFinish* finishes;
  const int* widths;              // columns, of the finishes
  const PopulationDigit* others;  // positions that no lookup reads
  void* output;                   // [quantities][rows], each a double or a 64-bit integer
  unsigned long long* error;      // stays 0, or becomes ~(the first row that is no code)
  long long rows;
  int positions, columns, quantities, sums, peaks, other_count;
  int value_count;     // doubles
  int lookups_offset;  // bytes, in shared memory
  int codes_offset;
  int aligned;  // whether codes are at a multiple of 16 bytes
};

// Memory that all threads of a block copy, `count` elements.
template <class T>
AF_DEVICE void population_copy(T* to, const T* from, long long count) {
  for (long long i = threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

AF_DEVICE unsigned population_entry(const PopulationLookup& lookup, const unsigned char* code,
                                    bool& bad) {
  unsigned entry = lookup.offset;
  AF_UNROLL
  for (int d = 0; d < 4; ++d) {
    if (d >= lookup.digits) break;
    const unsigned digit = code[lookup.position[d]];
    const unsigned last = lookup.last[d];
    bad |= digit > last;
    entry += lookup.stride[d] * (digit > last ? last : digit);
  }
  return entry;
}

// A network's columns: kept where their number is known, else added up when they are asked for.
template <int columns>
struct PopulationSums {
  double sum[columns];

  AF_DEVICE void add(const PopulationParams& p, const PopulationLookup* lookups,
                     const double* values, const unsigned char* code, bool& bad) {
    AF_UNROLL
    for (int c = 0; c < columns; ++c) sum[c] = p.base[c];
    for (int t = 0; t < p.sums; ++t) {
      const double* of = values + population_entry(lookups[t], code, bad);
      if constexpr (columns % 2 == 0) {
        AF_UNROLL
        for (int c = 0; c < columns; c += 2) {
          const Pack<double, 2> both = load<double, 2>(of + c);
          sum[c] += both.element[0];
          sum[c + 1] += both.element[1];
        }
      } else {
        AF_UNROLL
        for (int c = 0; c < columns; ++c) sum[c] += of[c];
      }
    }
  }
  // Without an index that registers do not have.
  AF_DEVICE double of(int column) const {
    double found = sum[0];
    AF_UNROLL
    for (int c = 1; c < columns; ++c) found = column == c ? sum[c] : found;
    return found;
  }
};

template <>
struct PopulationSums<0> {
  const PopulationParams* p;
  const PopulationLookup* lookups;
  const double* values;
  const unsigned char* code;

  AF_DEVICE void add(const PopulationParams& params, const PopulationLookup* all,
                     const double* table, const unsigned char* digits, bool& bad) {
    p = &params;
    lookups = all;
    values = table;
    code = digits;
    for (int t = 0; t < p->sums; ++t) population_entry(lookups[t], code, bad);
  }
  AF_DEVICE double of(int column) const {
    bool bad = false;
    double sum = p->base[column];
    for (int t = 0; t < p->sums; ++t) {
      sum += values[population_entry(lookups[t], code, bad) + static_cast<unsigned>(column)];
    }
    return sum;
  }
};

template <int columns>
AF_DEVICE double population_finish(const PopulationParams& p, const PopulationFinish& f,
                                   const PopulationSums<columns>& sums, double peak) {
  const double sum = sums.of(f.column);
  if (f.kind == population_linear) return f.scale * sum;
  if (f.kind == population_peak) return sum + peak;
  double squares = 0.0;
  for (int w = 0; w < f.widths; ++w) {
    const double width = sums.of(p.widths[f.first_width + w]);
    squares += width * width;
  }
  const double bound = sum + f.scale * sqrt(squares);
  return bound > 0.0 ? bound : 0.0;
}

template <int columns>
AF_DEVICE void population_row(const PopulationParams& p, const PopulationLookup* lookups,
                              const double* values, const unsigned char* code, long long row) {
  bool bad = false;
  for (int i = 0; i < p.other_count; ++i) bad |= code[p.others[i].position] > p.others[i].last;
  PopulationSums<columns> sums;
  sums.add(p, lookups, values, code, bad);
  double peak = p.base[p.columns];
  for (int t = p.sums; t < p.sums + p.peaks; ++t) {
    const double value = values[population_entry(lookups[t], code, bad)];
    peak = value > peak ? value : peak;
  }
  if (bad) atomicMax(p.error, ~static_cast<unsigned long long>(row));
  for (int q = 0; q < p.quantities; ++q) {
    const PopulationFinish& f = p.finishes[q];
    const double value = population_finish<columns>(p, f, sums, peak);
    const long long at = q * p.rows + row;
    if (f.integer != 0) {
      static_cast<long long*>(p.output)[at] = static_cast<long long>(value);
    } else {
      static_cast<double*>(p.output)[at] = value;
    }
  }
}

template <int columns, bool shared>
AF_DEVICE void population(const PopulationParams& p) {
  auto* memory = static_cast<unsigned char*>(af_dynamic_shared());
  auto* codes = memory + p.codes_offset;
  const double* values = p.values;
  const PopulationLookup* lookups = p.lookups;
  if constexpr (shared) {
    auto* own_values = reinterpret_cast<double*>(memory);
    auto* own_lookups = reinterpret_cast<PopulationLookup*>(memory + p.lookups_offset);
    population_copy(own_values, p.values, p.value_count);
    population_copy(own_lookups, p.lookups, p.sums + p.peaks);
    values = own_values;
    lookups = own_lookups;
  }
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long first = static_cast<long long>(blockIdx.x) * blockDim.x; first < p.rows;
       first += step) {
    const long long rest = p.rows - first;
    const int rows = rest < blockDim.x ? static_cast<int>(rest) : static_cast<int>(blockDim.x);
    const int bytes = rows * p.positions;
    const unsigned char* from = p.codes + first * p.positions;
    __syncthreads();  // the tables are there; the tile before is done with
    const int whole = p.aligned != 0 ? bytes / 16 : 0;
    population_copy(reinterpret_cast<uint4*>(codes), reinterpret_cast<const uint4*>(from), whole);
    population_copy(codes + 16 * whole, from + 16 * whole, bytes - 16 * whole);
    __syncthreads();
    const int row = static_cast<int>(threadIdx.x);
    if (row < rows) {
      population_row<columns>(p, lookups, values, codes + row * p.positions, first + row);
    }
  }
}

#define AF_POPULATION(columns)                                     \
  AF_KERNEL void __launch_bounds__(population_threads, 4)          \
      population_##columns##_shared(AF_PARAM PopulationParams p) { \
    population<columns, true>(p);                                  \
  }                                                                \
  AF_KERNEL void __launch_bounds__(population_threads, 4)          \
      population_##columns##_global(AF_PARAM PopulationParams p) { \
    population<columns, false>(p);                                 \
  }
AF_POPULATION(0)  // any number
AF_POPULATION(1)
AF_POPULATION(2)
AF_POPULATION(4)
AF_POPULATION(8)
#undef AF_POPULATION

}  // namespace alphaflops::cuda
