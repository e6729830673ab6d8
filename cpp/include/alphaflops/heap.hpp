// The C library's heap, kept in one piece while other people's code is timed on it.
#pragma once

#include <cstddef>
#include <vector>

namespace alphaflops {

/// What fills the holes of the heap, so that what is allocated next lies side by side at its end.
///
/// A process that has made and freed much gives each block the smallest hole that holds it: what is
/// in use at one time then lies far apart, and takes more of the caches. This is of glibc's heap as
/// a process's first thread sees it; on others nothing happens.
class HeapFilling {
 public:
  /// The largest block that glibc takes from its heap, once one of that size was freed.
  static constexpr std::size_t largest_bytes = std::size_t{31} << 20;

  HeapFilling() = default;
  HeapFilling(const HeapFilling&) = delete;
  HeapFilling& operator=(const HeapFilling&) = delete;
  ~HeapFilling();

  /// Fill holes of at least so many bytes, a page or more, and return what was filled. Their pages
  /// go back to the system. What is allocated next may lie on pages that nothing has touched yet.
  std::size_t fill(std::size_t least_bytes);
  /// What is filled.
  std::size_t bytes() const { return bytes_; }

  /// Take whatever the heap has free in pieces of so many bytes and more, its end included, until
  /// `let_go`: blocks that glibc then gives of this size come from the system.
  void hold(std::size_t bytes);
  void let_go();

 private:
  std::vector<void*> blocks_, taken_;
  std::size_t bytes_ = 0;
};

/// Whether memory that is freed at the heap's end stays with the process, however much it is.
///
/// glibc gives it back beyond 64 MiB, which is what it returns to with false, and takes it again
/// page by page. Both ways blocks of 32 MiB and more come from the system and go back each time.
void keep_freed_memory(bool keep);

}  // namespace alphaflops
