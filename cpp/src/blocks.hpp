// Memory on paper: what is allocated, by whom it is held, how much is alive.
#pragma once

#include <cstdint>
#include <vector>

#include "alphaflops/error.hpp"

namespace alphaflops {

/// Blocks of memory with the number of their holders.
class Blocks {
 public:
  int allocate(std::int64_t bytes) {
    live_ = checked_add(live_, bytes, "bytes alive together");
    blocks_.push_back({bytes, 1});
    return static_cast<int>(blocks_.size()) - 1;
  }
  int hold(int block) {
    ++at(block).holders;
    return block;
  }
  void release(int block) {
    if (--at(block).holders == 0) live_ -= at(block).bytes;
  }
  bool has_one_holder(int block) { return at(block).holders == 1; }
  std::int64_t bytes(int block) { return at(block).bytes; }
  std::int64_t live() const { return live_; }

 private:
  struct Block {
    std::int64_t bytes;
    int holders;
  };
  Block& at(int block) { return blocks_[static_cast<std::size_t>(block)]; }

  std::vector<Block> blocks_;
  std::int64_t live_ = 0;
};

}  // namespace alphaflops
