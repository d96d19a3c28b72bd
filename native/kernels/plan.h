// How the taps of coefficients.h become sums that fit 32 bits: scales, shifts and roundings of both directions, with
// the proofs that nothing overflows. This is the definition of the output; kernels only choose an order of addition.

#ifndef TRUNKLINE_NATIVE_KERNELS_PLAN_H_
#define TRUNKLINE_NATIVE_KERNELS_PLAN_H_

#include <cstdint>
#include <iterator>

#include "../coefficients.h"

namespace trunkline {

inline constexpr int64_t kInt32Limit = int64_t{1} << 31;

// ---- x6 ----
// One accumulator per output, the oldest and finest group of rows first; between groups it is shifted to the next
// scale.

inline constexpr int kUpInputBits = 14;
inline constexpr int kUpRounding = 1 << 12;

/// Bits dropped after group `g`: down to the next group's scale, or from Q15 of a 14-bit sample to 16 bits at the end.
constexpr int UpShift(int g) { return g > 0 ? kUpGroups[g].scale - kUpGroups[g - 1].scale : kUpGroups[0].scale - 2; }

/// The largest magnitude the accumulator of a phase can reach, over all inputs and all moments.
constexpr int64_t UpBound(int phase) {
  int64_t bound = 0;
  int64_t worst = 0;
  for (int g = static_cast<int>(std::size(kUpGroups)) - 1; g >= 0; --g) {
    for (int row = kUpGroups[g].firstRow; row < kUpGroups[g].endRow; ++row) {
      const int64_t tap = kUpTaps[row][phase];
      bound += (tap < 0 ? -tap : tap) << (kUpInputBits - 1);
    }
    if (g == 0) bound += kUpRounding;
    worst = bound > worst ? bound : worst;
    bound = (bound >> UpShift(g)) + 1;
  }
  return worst;
}

constexpr bool UpPhaseSumsToOne(int phase) {
  constexpr int kFinest = kUpGroups[std::size(kUpGroups) - 1].scale;
  int64_t sum = 0;
  for (const RowGroup& group : kUpGroups)
    for (int row = group.firstRow; row < group.endRow; ++row)
      sum += int64_t{kUpTaps[row][phase]} * (1 << (kFinest - group.scale));
  return sum == int64_t{1} << kFinest;
}

constexpr bool UpHoldsForEveryPhase() {
  for (int phase = 0; phase < kRatio; ++phase)
    if (UpBound(phase) >= kInt32Limit || !UpPhaseSumsToOne(phase)) return false;
  return true;
}

static_assert(UpHoldsForEveryPhase(), "no 14-bit input may overflow, and a constant must come out as itself");

/// The taps of x6 in the order SIMD kernels take them: two rows a step, the oldest first, and of each phase the two
/// taps side by side, the older first.
struct UpSteps {
  static constexpr int kCount = kTapRows / 2;
  int16_t taps[kCount][kRatio][2] = {};

  constexpr UpSteps() {
    for (int step = 0; step < kCount; ++step)
      for (int phase = 0; phase < kRatio; ++phase)
        for (int i = 0; i < 2; ++i) taps[step][phase][i] = kUpTaps[kTapRows - 1 - 2 * step - i][phase];
  }
};
inline constexpr UpSteps kUpSteps;

constexpr bool UpGroupsAreWholeSteps() {
  for (const RowGroup& group : kUpGroups)
    if (group.firstRow % 2 != 0 || group.endRow % 2 != 0) return false;
  return true;
}
static_assert(UpGroupsAreWholeSteps(), "a step's two products are added before any shift");

// ---- /6 ----
// 312 products of 16 by 16 bits do not fit one int32, so they are added in 39 partial sums that do: 13 sets of rows for
// each pair of lanes. Every partial sum is cut to Q14 and added to the total. Which products share a partial sum is
// part of the definition, because the cut loses its low bits.

struct PartialSum {
  int firstRow;  // rows firstRow to endRow - 1 ...
  int endRow;
  int firstStep;  // ... whose number modulo 8 is firstStep to endStep - 1
  int endStep;
  int scale;

  constexpr bool Has(int row) const {
    return row >= firstRow && row < endRow && row % 8 >= firstStep && row % 8 < endStep;
  }
};

inline constexpr PartialSum kPartialSums[] = {
    {0, 8, 0, 2, 18},  {0, 8, 2, 3, 18},   {0, 8, 3, 4, 18},   {0, 8, 4, 7, 18},  {0, 8, 7, 8, 18},
    {8, 24, 0, 1, 19}, {8, 24, 1, 2, 19},  {8, 24, 2, 3, 19},  {8, 24, 3, 4, 19}, {8, 24, 4, 6, 19},
    {8, 24, 6, 8, 19}, {24, 52, 0, 3, 20}, {24, 52, 3, 8, 20},
};
inline constexpr int kLanePairs = kRatio / 2;
inline constexpr int kTotalScale = 14;
// A cut loses half a unit on average; the second term gives that back.
inline constexpr int kDownRounding =
    (1 << (kTotalScale - 1)) + kLanePairs * static_cast<int>(std::size(kPartialSums)) / 2;

/// The tap that lane `lane` (input samples 6k + lane) meets in `row`: the newest of six samples is lane 5.
constexpr int16_t DownTap(int row, int lane) { return kDownTaps[row][kRatio - 1 - lane]; }

/// The taps of /6 for SIMD kernels: for each pair of lanes and row, the taps of the even and the odd lane side by side.
struct DownPairs {
  int16_t taps[kLanePairs][kTapRows][2] = {};

  constexpr DownPairs() {
    for (int pair = 0; pair < kLanePairs; ++pair)
      for (int row = 0; row < kTapRows; ++row)
        for (int i = 0; i < 2; ++i) taps[pair][row][i] = DownTap(row, 2 * pair + i);
  }
};
inline constexpr DownPairs kDownPairs;

constexpr bool PartialSumsCoverEachRowOnce() {
  for (const RowGroup& group : kDownGroups)
    for (int row = group.firstRow; row < group.endRow; ++row) {
      int found = 0;
      for (const PartialSum& part : kPartialSums) found += part.Has(row) && part.scale == group.scale;
      if (found != 1) return false;
    }
  return true;
}

constexpr bool DownCannotOverflow() {
  int64_t total = kDownRounding;
  for (int pair = 0; pair < kLanePairs; ++pair)
    for (const PartialSum& part : kPartialSums) {
      int64_t bound = 0;
      for (int row = 0; row < kTapRows; ++row)
        for (int lane = 2 * pair; part.Has(row) && lane < 2 * pair + 2; ++lane) {
          const int64_t tap = DownTap(row, lane);
          bound += (tap < 0 ? -tap : tap) << 15;
        }
      if (bound >= kInt32Limit) return false;
      total += (bound >> (part.scale - kTotalScale)) + 1;
    }
  return total < kInt32Limit;
}

constexpr bool DownSumsToOne() {
  constexpr int kFinest = kDownGroups[std::size(kDownGroups) - 1].scale;
  int64_t sum = 0;
  for (const RowGroup& group : kDownGroups)
    for (int row = group.firstRow; row < group.endRow; ++row)
      for (int lane = 0; lane < kRatio; ++lane) sum += int64_t{DownTap(row, lane)} * (1 << (kFinest - group.scale));
  return sum == int64_t{1} << kFinest;
}

static_assert(PartialSumsCoverEachRowOnce() && DownCannotOverflow(), "no int16 input may overflow");
static_assert(DownSumsToOne(), "a constant must come out as itself");

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_KERNELS_PLAN_H_
