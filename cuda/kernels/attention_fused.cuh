// Attention in one launch: softmax(q k^T / sqrt(depth)) v without the scores in memory.
//
// A warp has 16 queries. It goes over the keys, 64 at a time, and keeps of the softmax so far the
// largest score, the sum, and the values weighted by it; when a larger score comes, the last two
// shrink (Milakov and Gimelshein, 2018; Dao et al., 2022).
#pragma once

#include "attention_fused_params.cuh"
#include "matrix_tile.cuh"

namespace alphaflops::cuda {

// 64 rows of a head in shared memory, in chunks of 64 or 128 bytes a row.
template <class Stored, int depth>
struct HeadTile {
  static constexpr int row_bytes = depth >= 64 ? 128 : 64;
  static constexpr int row_pieces = depth / 8, chunk_pieces = row_bytes / 16;
  static constexpr int bytes = attention_keys * depth * 2;
  static_assert(sizeof(Stored) == 2 && attention_keys == attention_queries);

  static AF_DEVICE unsigned place(int row, int piece) {
    return static_cast<unsigned>(piece / chunk_pieces * attention_keys * row_bytes +
                                 piece_offset<row_bytes>(row, piece % chunk_pieces));
  }

  // Where a lane's row and piece lie, and what is `rows`, a multiple of 8, and `pairs` of pieces
  // further: the same but for a constant, and a constant to flip bits with.
  struct Lane {
    int row, key;  // in bytes
  };
  static AF_DEVICE Lane lane(int row, int piece) {
    return {row * row_bytes, piece_offset<row_bytes>(row, piece) - row * row_bytes};
  }
  static AF_DEVICE unsigned place(const Lane& at, int rows, int pairs) {
    const int chunk = pairs * 2 / chunk_pieces, within = pairs * 2 % chunk_pieces;
    return static_cast<unsigned>((chunk * attention_keys + rows) * row_bytes + at.row +
                                 (at.key ^ (within * 16)));
  }

  // Rows from `first` on; zeros from `rows` on.
  static AF_DEVICE void copy(SharedAddress to, const Stored* from, int pitch, int first, int rows) {
    AF_UNROLL
    for (int i = 0; i < attention_keys * row_pieces / attention_threads; ++i) {
      const int at = i * attention_threads + static_cast<int>(threadIdx.x);
      const int row = at / row_pieces, piece = at % row_pieces;
      copy_async_16(to + place(row, piece),
                    from + (static_cast<long long>(first + row) * pitch + piece * 8),
                    first + row < rows);
    }
  }
};

template <class Element>
AF_DEVICE unsigned pack_pair(float low, float high) {
  const unsigned upper = from_float<Element>(high).bits;
  return from_float<Element>(low).bits | upper << 16;
}

// One warp's queries on their way over the keys. A thread has two rows, lane / 4 and 8 further.
template <class Element, int depth>
struct AttentionWarp {
  using Tile = HeadTile<Element, depth>;
  static constexpr int key_groups = attention_keys / 8;

  float scores[key_groups][4];
  float values[depth / 8][4];
  float most[2], sum[2];  // of the thread's own scores; `most` of all of the row
  int lane, first_query;
  typename Tile::Lane of_16, of_keys;  // what ldmatrix has of 16 rows, and of 16 keys as columns

  AF_DEVICE void start(int query) {
    lane = static_cast<int>(threadIdx.x) % 32;
    first_query = query;
    of_16 = Tile::lane(lane % 16, lane / 16);
    of_keys = Tile::lane(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    AF_UNROLL
    for (int half = 0; half < 2; ++half) {
      most[half] = bit_cast<float>(0xff800000u);  // -infinity
      sum[half] = 0.0f;
    }
    AF_UNROLL
    for (int j = 0; j < depth / 8; ++j) {
      AF_UNROLL
      for (int e = 0; e < 4; ++e) values[j][e] = 0.0f;
    }
  }

  // `q_rows`: where the warp's queries lie.
  AF_DEVICE void multiply_keys(SharedAddress q_rows, SharedAddress k_tile) {
    AF_UNROLL
    for (int j = 0; j < key_groups; ++j) {
      AF_UNROLL
      for (int e = 0; e < 4; ++e) scores[j][e] = 0.0f;
    }
    AF_UNROLL
    for (int step = 0; step < depth / 16; ++step) {
      unsigned a[4];
      load_matrices(a, q_rows + Tile::place(of_16, 0, step));
      AF_UNROLL
      for (int j = 0; j < key_groups / 2; ++j) {
        unsigned b[4];
        load_matrices(b, k_tile + Tile::place(of_keys, j * 16, step));
        AF_UNROLL
        for (int half = 0; half < 2; ++half) {
          const unsigned pair[2] = {b[2 * half], b[2 * half + 1]};
          multiply(Element{}, scores[2 * j + half], a, pair);
        }
      }
    }
  }

  // The mask of these keys, on scores that are scaled for it.
  AF_DEVICE void add_mask(const AttentionParams& p, const Element* mask, int first_key) {
    AF_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int query = first_query + lane / 4 + half * 8;
      const int key = first_key + lane % 4 * 2;
      const int end = query < p.length ? p.kv_length - key : 0;
      const Element* from = mask + (static_cast<long long>(query) * p.mask_row + key);
      AF_UNROLL
      for (int j = 0; j < key_groups; ++j) {
        AF_UNROLL
        for (int e = 0; e < 2; ++e) {
          float& score = scores[j][half * 2 + e];
          score *= p.scale;
          if (j * 8 + e < end) score += to_float(from[j * 8 + e]);
        }
      }
    }
  }

  // Scores to weights, by the scale and the largest score so far.
  AF_DEVICE void weigh(const AttentionParams& p, float scale, int first_key) {
    AF_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int query = first_query + lane / 4 + half * 8;
      const int seen = p.hidden < 0 ? p.kv_length : p.kv_length - p.hidden + query;
      const int end = (seen < p.kv_length ? seen : p.kv_length) - first_key - lane % 4 * 2;
      float largest = most[half];
      AF_UNROLL
      for (int j = 0; j < key_groups; ++j) {
        AF_UNROLL
        for (int e = 0; e < 2; ++e) {
          float& score = scores[j][half * 2 + e];
          score = j * 8 + e < end ? score * scale : bit_cast<float>(0xff800000u);
          largest = score > largest ? score : largest;
        }
      }
      AF_UNROLL
      for (int bits = 1; bits < 4; bits *= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, largest, bits);
        largest = other > largest ? other : largest;
      }
      const float before = most[half];
      most[half] = largest;
      // While a mask leaves no key, weights are 0.
      if (largest == bit_cast<float>(0xff800000u)) largest = 0.0f;
      const float shrink = expf(before - largest);
      sum[half] *= shrink;
      AF_UNROLL
      for (int j = 0; j < depth / 8; ++j) {
        values[j][half * 2] *= shrink;
        values[j][half * 2 + 1] *= shrink;
      }
      AF_UNROLL
      for (int j = 0; j < key_groups; ++j) {
        AF_UNROLL
        for (int e = 0; e < 2; ++e) {
          float& score = scores[j][half * 2 + e];
          score = expf(score - largest);
          sum[half] += score;
        }
      }
    }
  }

  // The weights lie as an operand does: what was two groups of 8 columns is a depth of 16.
  AF_DEVICE void add_values(SharedAddress v_tile) {
    AF_UNROLL
    for (int step = 0; step < key_groups / 2; ++step) {
      unsigned a[4];
      AF_UNROLL
      for (int e = 0; e < 4; ++e) {
        const float(&from)[4] = scores[2 * step + e / 2];
        a[e] = pack_pair<Element>(from[e % 2 * 2], from[e % 2 * 2 + 1]);
      }
      AF_UNROLL
      for (int j = 0; j < depth / 16; ++j) {
        unsigned b[4];
        load_matrices_transposed(b, v_tile + Tile::place(of_16, step * 16, j));
        AF_UNROLL
        for (int half = 0; half < 2; ++half) {
          const unsigned pair[2] = {b[2 * half], b[2 * half + 1]};
          multiply(Element{}, values[2 * j + half], a, pair);
        }
      }
    }
  }

  AF_DEVICE void store_rows(Element* y, int pitch, int rows) const {
    AF_UNROLL
    for (int half = 0; half < 2; ++half) {
      float total = sum[half];
      AF_UNROLL
      for (int bits = 1; bits < 4; bits *= 2) total += __shfl_xor_sync(0xffffffffu, total, bits);
      const int query = first_query + lane / 4 + half * 8;
      if (query >= rows) continue;
      Element* to = y + static_cast<long long>(query) * pitch + lane % 4 * 2;
      AF_UNROLL
      for (int j = 0; j < depth / 8; ++j) {
        *reinterpret_cast<unsigned*>(to + j * 8) =
            pack_pair<Element>(values[j][half * 2] / total, values[j][half * 2 + 1] / total);
      }
    }
  }
};

template <class Element, int depth>
AF_DEVICE void attention_fused(const AttentionParams& p) {
  using Tile = HeadTile<Element, depth>;
  unsigned query_tile = blockIdx.x;
  unsigned head = divide_keep(query_tile, p.by_query_tiles);
  const long long image = divide_keep(head, p.by_heads);
  const auto at = [&](const void* from, const MatrixStep& step) {
    return static_cast<const Element*>(from) + (image * step.outer + head * step.inner);
  };
  const Element *q = at(p.q, p.q_step), *mask = at(p.mask, p.mask_step);
  const unsigned shared_head = divide(head, p.by_group);
  const auto shared_at = [&](const void* from, const MatrixStep& step) {
    return static_cast<const Element*>(from) + (image * step.outer + shared_head * step.inner);
  };
  const Element *k = shared_at(p.k, p.k_step), *v = shared_at(p.v, p.v_step);
  const int first = static_cast<int>(query_tile) * attention_queries;
  // Behind a causal mask, the block's last query sees no more keys than these.
  const int last = first + attention_queries - 1;
  const int seen = p.hidden < 0 ? p.kv_length : p.kv_length - p.hidden + last;
  const int keys = seen < p.kv_length ? seen : p.kv_length;
  const int tiles = (keys + attention_keys - 1) / attention_keys;

  const SharedAddress shared = shared_address(af_dynamic_shared());
  const auto stage = [&](int tile) {
    return shared + static_cast<unsigned>((1 + tile % 2 * 2) * Tile::bytes);
  };
  const auto copy = [&](int tile) {
    Tile::copy(stage(tile), k, p.k_row, tile * attention_keys, p.kv_length);
    Tile::copy(stage(tile) + Tile::bytes, v, p.v_row, tile * attention_keys, p.kv_length);
  };
  const int q_row = static_cast<int>(threadIdx.x) / 32 * 16;
  AttentionWarp<Element, depth> warp;
  warp.start(first + q_row);
  Tile::copy(shared, q, p.q_row, first, p.length);
  copy(0);
  copy_async_commit();
  AF_NO_UNROLL
  for (int tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles) copy(tile + 1);
    copy_async_commit();
    copy_async_wait<1>();
    __syncthreads();
    warp.multiply_keys(shared + static_cast<unsigned>(q_row * Tile::row_bytes), stage(tile));
    if (p.mask != nullptr) warp.add_mask(p, mask, tile * attention_keys);
    warp.weigh(p, p.mask != nullptr ? 1.0f : p.scale, tile * attention_keys);
    warp.add_values(stage(tile) + Tile::bytes);
    __syncthreads();  // the next copy goes where these lie
  }
  copy_async_wait<0>();
  Element* y = static_cast<Element*>(p.y) + (image * p.y_step.outer + head * p.y_step.inner);
  warp.store_rows(y, p.y_row, p.length);
}

}  // namespace alphaflops::cuda

#define AF_ATTENTION_KERNEL(type, depth)                                                      \
  AF_KERNEL void __launch_bounds__(alphaflops::cuda::attention_threads, (depth) > 64 ? 2 : 3) \
      attention_fused_##type##_d##depth(AF_PARAM alphaflops::cuda::AttentionParams p) {       \
    alphaflops::cuda::attention_fused<alphaflops::cuda::dtype::type, depth>(p);               \
  }
#if AF_ARCH >= 800
AF_ATTENTION(AF_ATTENTION_KERNEL)
#endif
