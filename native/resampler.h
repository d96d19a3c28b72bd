// The two sample-rate converters of a call, 8 kHz <-> 48 kHz, in integer arithmetic. This scalar code defines the
// output: a faster kernel must give the same samples bit for bit.

#ifndef TRUNKLINE_NATIVE_RESAMPLER_H_
#define TRUNKLINE_NATIVE_RESAMPLER_H_

#include <cstddef>
#include <cstdint>

#include "coefficients.h"

namespace trunkline {

/// 8 kHz samples a converter works on at a time (20 ms). Calls may have any length; this only bounds the stack.
inline constexpr int kBlock = 160;

/// 8 kHz to 48 kHz, one call's stream. Uses the upper 14 bits of its input, all that mu-law carries.
class Upsampler {
 public:
  /// Reads `count` samples at 8 kHz, writes 6 * `count` samples at 48 kHz. `in` and `out` must not overlap.
  void Process(const int16_t* in, size_t count, int16_t* out);

 private:
  void ProcessBlock(const int16_t* in, int count, int16_t* out);

  int16_t history_[kTapRows - 1] = {};  // last input samples in 14 bits, oldest first
};

/// 48 kHz to 8 kHz, one call's stream. Takes every int16 input without overflow.
class Downsampler {
 public:
  /// Reads 6 * `count` samples at 48 kHz, writes `count` samples at 8 kHz. `in` and `out` must not overlap.
  void Process(const int16_t* in, size_t count, int16_t* out);

 private:
  void ProcessBlock(const int16_t* in, int count, int16_t* out);

  int16_t history_[kRatio][kTapRows - 1] = {};  // lane l holds input samples 6k + l, oldest first
};

static_assert(sizeof(Upsampler) <= 800 && sizeof(Downsampler) <= 800, "thousands of calls share the cache");

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_RESAMPLER_H_
