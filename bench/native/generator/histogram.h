// Times in log-linear buckets, 32 a power of two: the gateway's own histogram (src/telemetry/histogram.ts) in C++.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace generator {

/** A histogram's units of 100 ns. */
inline uint32_t Units(int64_t nanoseconds) {
  return static_cast<uint32_t>(std::clamp<int64_t>(nanoseconds / 100, 0, INT32_MAX));
}

class Histogram {
 public:
  void Record(uint32_t value) {
    value = std::min(value, kLargest);
    ++buckets_[BucketOf(value)];
    ++count_;
    max_ = std::max(max_, value);
  }

  void Reset() { *this = Histogram(); }

  uint64_t count() const { return count_; }
  double MaxMs() const { return Ms(max_); }

  /** Milliseconds below which the share `q` of all values lies: its bucket's upper edge. */
  double QuantileMs(double q) const {
    const auto rank = static_cast<uint64_t>(std::max(1.0, std::ceil(q * static_cast<double>(count_))));
    uint64_t seen = 0;
    for (uint32_t i = 0; count_ > 0 && i < kBuckets; ++i) {
      seen += buckets_[i];
      if (seen >= rank) return Ms(std::min(UpperEdge(i), max_));
    }
    return Ms(max_);
  }

 private:
  static constexpr uint32_t kSubBits = 5;
  static constexpr uint32_t kSubBuckets = 1 << kSubBits;
  static constexpr uint32_t kBuckets = (32 - kSubBits) * kSubBuckets;
  static constexpr uint32_t kLargest = 0x7fffffff;

  static double Ms(uint32_t value) { return value / 1e4; }

  static uint32_t BucketOf(uint32_t value) {
    if (value < kSubBuckets) return value;
    const uint32_t exponent = 31 - static_cast<uint32_t>(__builtin_clz(value));
    return (exponent - kSubBits + 1) * kSubBuckets + ((value >> (exponent - kSubBits)) & (kSubBuckets - 1));
  }

  static uint32_t UpperEdge(uint32_t bucket) {
    if (bucket < kSubBuckets) return bucket;
    const uint32_t shift = bucket / kSubBuckets - 1;
    return static_cast<uint32_t>((uint64_t{kSubBuckets + bucket % kSubBuckets + 1} << shift) - 1);
  }

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint32_t max_ = 0;
};

}  // namespace generator
