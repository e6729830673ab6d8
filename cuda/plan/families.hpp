// The families that `plans` asks, one line each, best guess first. Each returns nothing for a
// problem that it does not do.
#pragma once

// X(name) declares std::vector<Plan> plan_<name>(const Problem&, const Target&).
#define ALPHAFLOPS_CUDA_FAMILIES(X) \
  X(conv_depthwise)                 \
  X(conv_depthwise_grad)            \
  X(conv_grouped)                   \
  X(conv_padded)                    \
  X(conv_direct)                    \
  X(conv_wgmma)                     \
  X(conv_igemm)                     \
  X(conv_simt)                      \
  X(conv_winograd)                  \
  X(conv_wgrad)                     \
  X(conv_general)

// The same of StreamProblem.
#define ALPHAFLOPS_CUDA_STREAMS(X) \
  X(stream_elementwise)            \
  X(stream_pool)                   \
  X(stream_rows)                   \
  X(stream_layout)                 \
  X(stream_gather)

// The same of MatmulProblem.
#define ALPHAFLOPS_CUDA_MATMULS(X) X(matmul)

// The same of AttentionProblem.
#define ALPHAFLOPS_CUDA_ATTENTIONS(X) \
  X(attention_fused)                  \
  X(attention_parts)

// The same of RecurrentProblem.
#define ALPHAFLOPS_CUDA_RECURRENCES(X) \
  X(recurrent_steps)                   \
  X(recurrent_products)

// The same of ProbeProblem.
#define ALPHAFLOPS_CUDA_PROBES(X) \
  X(probe_fma)                    \
  X(probe_memory)                 \
  X(probe_timing)
