// How near the int32 sums of the resampler can come to overflow.

#ifndef TRUNKLINE_NATIVE_FILTER_HEADROOM_H_
#define TRUNKLINE_NATIVE_FILTER_HEADROOM_H_

#include "taps.h"

namespace trunkline::filter {

/// Bounds on magnitudes as fractions of 2^31: below 1 there is no overflow. They are sums over magnitudes, so they hold
/// in whatever order a kernel adds what lies between two shifts.

/// x6: the accumulator of the worst phase at its worst moment, for any 14-bit input.
double UpBound(const Taps& taps);

/// /6, for any int16 input: the worst of the 39 partial sums, and the total they are added to.
struct DownBounds {
  double partial;
  double total;
};
DownBounds BoundDown(const Taps& taps);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_HEADROOM_H_
