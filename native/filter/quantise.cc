#include "quantise.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace trunkline::filter {
namespace {

/// What the taps would be if they need not be whole.
std::vector<double> Scaled(const std::vector<double>& impulse, Direction direction) {
  std::vector<double> scaled(impulse);
  for (int n = 0; n < kTapCount; ++n)
    scaled[n] *= std::ldexp(SumClassCount(direction), ScaleOf(direction, n));
  return scaled;
}

/// Moves fine taps by one unit until the class sums to 1, first those that rounding had taken farthest the other way.
void MakeSumExact(const std::vector<double>& exact, int sumClass, Taps* taps) {
  const int64_t excess = ExcessOf(*taps, sumClass);
  const int direction = excess > 0 ? -1 : 1;
  std::vector<int> fine;
  for (int n = sumClass; n < kTapCount; n += SumClassCount(taps->direction))
    if (StepOf(taps->direction, n) == 1) fine.push_back(n);
  const auto gain = [&](int n) { return direction * (exact[n] - taps->values[n]); };
  std::stable_sort(fine.begin(), fine.end(), [&](int a, int b) { return gain(a) > gain(b); });
  for (int64_t i = 0; i < std::abs(excess); ++i) taps->values[fine[static_cast<size_t>(i) % fine.size()]] += direction;
}

}  // namespace

Taps Quantise(const std::vector<double>& impulse, Direction direction) {
  const std::vector<double> exact = Scaled(impulse, direction);
  Taps taps{direction, {}};
  for (int n = 0; n < kTapCount; ++n) taps.values[n] = static_cast<int>(std::lround(exact[n]));
  for (int c = 0; c < SumClassCount(direction); ++c) MakeSumExact(exact, c, &taps);
  return taps;
}

}  // namespace trunkline::filter
