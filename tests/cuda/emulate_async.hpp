// Work that the device does beside its threads, and what must come between it and them.
#pragma once

#include <cstddef>
#include <cstring>
#include <deque>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace emulate {

[[noreturn]] inline void fail(const std::string& what) {
  throw std::runtime_error("emulation: " + what);
}

struct Thread;

/// An asynchronous copy on its way: `source_bytes` from memory, zeros beyond.
struct Copy {
  void* to;
  const void* from;
  std::size_t bytes, source_bytes;
  const Thread* asked;

  void perform() const;
};

/// Work that is held back until a wait covers its group.
struct Groups {
  std::vector<std::function<void()>> open;
  std::deque<std::vector<std::function<void()>>> committed;

  void commit() {
    committed.push_back(std::move(open));
    open.clear();
  }
  void wait(int pending) {
    while (committed.size() > static_cast<std::size_t>(pending)) {
      for (const auto& perform : committed.front()) perform();
      committed.pop_front();
    }
  }
};

/// Who wrote last to each 16 bytes of shared memory, by a store or cp.async. The matrix units and
/// the copy engine see that only after a fence (fence.proxy.async), of the writer or of the thread
/// that has them read.
class SharedWrites {
 public:
  /// `published`: where the writer's last fence is kept.
  void write(std::size_t granule, long long time, const long long* published) {
    if (granule >= writes_.size()) writes_.resize(granule + 1);
    writes_[granule] = {time, published};
  }
  /// The copy engine wrote there.
  void forget(std::size_t granule) {
    if (granule < writes_.size()) writes_[granule] = {};
  }
  bool published(std::size_t granule, long long fence) const {
    if (granule >= writes_.size() || writes_[granule].published == nullptr) return true;
    return fence > writes_[granule].time || *writes_[granule].published > writes_[granule].time;
  }
  void clear() { writes_.clear(); }

 private:
  struct Write {
    long long time = 0;
    const long long* published = nullptr;
  };
  std::vector<Write> writes_;
};

}  // namespace emulate
