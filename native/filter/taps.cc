#include "taps.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>

namespace trunkline::filter {

Taps CheckedInTaps(Direction direction) {
  const auto& table = direction == Direction::kUp ? kUpTaps : kDownTaps;
  Taps taps{direction, {}};
  for (int n = 0; n < kTapCount; ++n) taps.values[n] = table[n / kRatio][n % kRatio];
  return taps;
}

int ScaleOf(Direction direction, int tap) {
  const int row = tap / kRatio;
  const auto holds = [row](const RowGroup& group) { return row < group.endRow; };
  if (direction == Direction::kUp) return std::find_if(std::begin(kUpGroups), std::end(kUpGroups), holds)->scale;
  return std::find_if(std::begin(kDownGroups), std::end(kDownGroups), holds)->scale;
}

int FinestScale(Direction direction) { return ScaleOf(direction, kTapCount - 1); }

int StepOf(Direction direction, int tap) { return 1 << (FinestScale(direction) - ScaleOf(direction, tap)); }

int SumClassCount(Direction direction) { return direction == Direction::kUp ? kRatio : 1; }

int SumClassOf(Direction direction, int tap) { return tap % SumClassCount(direction); }

int64_t ExcessOf(const Taps& taps, int sumClass) {
  int64_t sum = -(int64_t{1} << FinestScale(taps.direction));
  for (int n = sumClass; n < kTapCount; n += SumClassCount(taps.direction))
    sum += int64_t{taps.values[n]} * StepOf(taps.direction, n);
  return sum;
}

bool SumsAreExact(const Taps& taps) {
  for (int c = 0; c < SumClassCount(taps.direction); ++c)
    if (ExcessOf(taps, c) != 0) return false;
  return true;
}

int LargestMagnitude(const Taps& taps) {
  int largest = 0;
  for (const int value : taps.values) largest = std::max(largest, std::abs(value));
  return largest;
}

std::vector<double> ImpulseResponse(const Taps& taps) {
  std::vector<double> impulse(kTapCount);
  for (int n = 0; n < kTapCount; ++n)
    impulse[n] = std::ldexp(taps.values[n], -ScaleOf(taps.direction, n)) / SumClassCount(taps.direction);
  return impulse;
}

}  // namespace trunkline::filter
