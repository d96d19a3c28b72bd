// The 312 integers of one direction, and what each of them stands for.

#ifndef TRUNKLINE_NATIVE_FILTER_TAPS_H_
#define TRUNKLINE_NATIVE_FILTER_TAPS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "../coefficients.h"

namespace trunkline::filter {

inline constexpr int kTapCount = kTapRows * kRatio;

enum class Direction { kUp, kDown };

/// Tap n of the impulse response at 48 kHz is values[n] / 2^ScaleOf(direction, n).
struct Taps {
  Direction direction;
  std::array<int, kTapCount> values;
};

/// The table of ../coefficients.h.
Taps CheckedInTaps(Direction direction);

/// Binary digits after the point of a tap.
int ScaleOf(Direction direction, int tap);

/// The scale of the last rows, in which every tap is a whole number.
int FinestScale(Direction direction);

/// What one unit of a tap is worth in units of the finest scale.
int StepOf(Direction direction, int tap);

/// Taps whose sum must be exactly 1 form a class: each phase of x6, and all taps of /6.
int SumClassCount(Direction direction);
int SumClassOf(Direction direction, int tap);

/// The sum of a class less 1, in units of the finest scale.
int64_t ExcessOf(const Taps& taps, int sumClass);
bool SumsAreExact(const Taps& taps);

int LargestMagnitude(const Taps& taps);

/// The impulse response, scaled so that its gain at 0 Hz is 1 in both directions.
std::vector<double> ImpulseResponse(const Taps& taps);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_TAPS_H_
