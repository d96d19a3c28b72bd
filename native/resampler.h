// The two sample-rate converters of a call, 8 kHz <-> 48 kHz: streams of any length over the kernels' blocks.

#ifndef TRUNKLINE_NATIVE_RESAMPLER_H_
#define TRUNKLINE_NATIVE_RESAMPLER_H_

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace trunkline {

/// 8 kHz to 48 kHz, one call's stream. Uses the upper 14 bits of its input, all that mu-law carries.
class Upsampler {
 public:
  /// Reads `count` samples at 8 kHz, writes 6 * `count` samples at 48 kHz. `in` and `out` must not overlap.
  void Process(const Kernels& kernels, const int16_t* in, size_t count, int16_t* out);

 private:
  UpHistory history_;
};

/// 48 kHz to 8 kHz, one call's stream. Takes every int16 input without overflow.
class Downsampler {
 public:
  /// Reads 6 * `count` samples at 48 kHz, writes `count` samples at 8 kHz. `in` and `out` must not overlap.
  void Process(const Kernels& kernels, const int16_t* in, size_t count, int16_t* out);

 private:
  DownHistory history_;
};

static_assert(sizeof(Upsampler) <= 800 && sizeof(Downsampler) <= 800, "thousands of calls share the cache");

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_RESAMPLER_H_
