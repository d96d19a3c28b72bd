#include "headroom.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>

namespace trunkline::filter {
namespace {

constexpr double kInt32Limit = 2147483648.0;

// x6: 14-bit samples; the last shift takes the sum of a 14-bit sample in Q15 to 16 bits, rounded.
constexpr int64_t kUpLargestSample = 1 << 13;
constexpr int64_t kUpRounding = 1 << 12;

// /6: partial sums are cut to Q14 before they are added up.
constexpr int64_t kDownLargestSample = 1 << 15;
constexpr int kTotalScale = 14;
constexpr int64_t kDownRounding = 1 << 13;
constexpr int kLanePairs = kRatio / 2;

/// Rows of a group whose number modulo 8 is firstStep to endStep - 1 share a partial sum, one for each pair of columns.
/// This is the resampler's own division: a wider one would overflow, a finer one costs shifts.
struct PartialSum {
  int group;  // in kDownGroups
  int firstStep;
  int endStep;
};
constexpr PartialSum kPartialSums[] = {
    {0, 0, 2}, {0, 2, 3}, {0, 3, 4}, {0, 4, 7}, {0, 7, 8},             //
    {1, 0, 1}, {1, 1, 2}, {1, 2, 3}, {1, 3, 4}, {1, 4, 6}, {1, 6, 8},  //
    {2, 0, 3}, {2, 3, 8},
};
static_assert(kLanePairs * std::size(kPartialSums) == 39);

int64_t MagnitudeAt(const Taps& taps, int row, int column) { return std::abs(taps.values[row * kRatio + column]); }

int64_t UpPhaseBound(const Taps& taps, int phase) {
  int64_t bound = 0;
  int64_t worst = 0;
  for (int row = kTapRows - 1; row >= 0; --row) {
    bound += MagnitudeAt(taps, row, phase) * kUpLargestSample;
    if (row == 0) bound += kUpRounding;
    worst = std::max(worst, bound);
    if (row == 0) break;
    const int here = ScaleOf(taps.direction, row * kRatio);
    const int next = ScaleOf(taps.direction, (row - 1) * kRatio);
    if (next < here) bound = (bound >> (here - next)) + 1;  // a shift rounds negative sums away from zero
  }
  return worst;
}

int64_t PartialBound(const Taps& taps, const PartialSum& part, int pair) {
  int64_t bound = 0;
  const RowGroup& group = kDownGroups[part.group];
  for (int row = group.firstRow; row < group.endRow; ++row) {
    if (row % 8 < part.firstStep || row % 8 >= part.endStep) continue;
    for (int column = 2 * pair; column < 2 * pair + 2; ++column)
      bound += MagnitudeAt(taps, row, column) * kDownLargestSample;
  }
  return bound;
}

}  // namespace

double UpBound(const Taps& taps) {
  int64_t worst = 0;
  for (int phase = 0; phase < kRatio; ++phase) worst = std::max(worst, UpPhaseBound(taps, phase));
  return static_cast<double>(worst) / kInt32Limit;
}

DownBounds BoundDown(const Taps& taps) {
  int64_t worst = 0;
  int64_t total = kDownRounding + kLanePairs * static_cast<int64_t>(std::size(kPartialSums)) / 2;
  for (int pair = 0; pair < kLanePairs; ++pair)
    for (const PartialSum& part : kPartialSums) {
      const int64_t bound = PartialBound(taps, part, pair);
      worst = std::max(worst, bound);
      total += (bound >> (kDownGroups[part.group].scale - kTotalScale)) + 1;
    }
  return {static_cast<double>(worst) / kInt32Limit, static_cast<double>(total) / kInt32Limit};
}

}  // namespace trunkline::filter
