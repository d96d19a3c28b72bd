#include "quantise.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "band.h"

namespace trunkline::filter {
namespace {

// What an error weighs, as amplitude: most in the stop band, little in the pass band, next to nothing between the two.
constexpr double kPassErrorWeight = 1.0 / 20;
constexpr double kTransitionErrorWeight = 1e-3;
constexpr double kStopErrorWeight = 1;
// Keeps the sums near their values, so that little remains to be mended.
constexpr double kSumErrorWeight = 10;

struct Band {
  double low;
  double high;
  double weight;
};
constexpr Band kBands[] = {{0, kPassEdge, kPassErrorWeight},
                           {kPassEdge, kStopEdge, kTransitionErrorWeight},
                           {kStopEdge, kNyquist, kStopErrorWeight}};

using Vector = std::array<double, kTapCount>;
using Matrix = std::vector<Vector>;

/// The weighted energy of the error e is the sum over e[a] e[b] Correlation(a - b): an integral that has a closed form.
double Correlation(int lag) {
  const double pi = std::acos(-1.0);
  double sum = 0;
  for (const Band& band : kBands) {
    const double low = band.low / kNyquist;
    const double high = band.high / kNyquist;
    const double integral =
        lag == 0 ? high - low : (std::sin(pi * lag * high) - std::sin(pi * lag * low)) / (pi * lag);
    sum += band.weight * band.weight * integral;
  }
  return sum;
}

/// The same energy for errors in units of each tap's own scale.
Matrix ErrorEnergy(Direction direction) {
  Vector correlation;
  for (int lag = 0; lag < kTapCount; ++lag) correlation[lag] = Correlation(lag);
  Matrix energy(kTapCount);
  for (int a = 0; a < kTapCount; ++a)
    for (int b = 0; b < kTapCount; ++b) {
      const bool sameSum = SumClassOf(direction, a) == SumClassOf(direction, b);
      energy[a][b] = (correlation[std::abs(a - b)] + (sameSum ? kSumErrorWeight * kSumErrorWeight : 0)) *
                     StepOf(direction, a) * StepOf(direction, b);
    }
  return energy;
}

/// Puts the triangle U of energy = U * U^T into the matrix's diagonal and upper half. The energy of e is then the sum
/// over n of (U[0][n] e[0] + ... + U[n][n] e[n])^2: tap n can cancel its term, whatever those before it became.
void Factor(Matrix* energy) {
  Matrix& m = *energy;
  for (int n = kTapCount - 1; n >= 0; --n) {
    for (int k = n + 1; k < kTapCount; ++k) m[n][n] -= m[n][k] * m[n][k];
    m[n][n] = std::sqrt(m[n][n]);
    for (int i = 0; i < n; ++i) {
      for (int k = n + 1; k < kTapCount; ++k) m[i][n] -= m[i][k] * m[n][k];
      m[i][n] /= m[n][n];
    }
  }
}

/// Rounds from the first tap to the last, each to the integer that makes its term of the energy smallest. So every tap
/// repairs what it can of the errors before it, and late taps are the finer ones. (Known as the nearest-plane method.)
Taps RoundShaped(const Vector& exact, Direction direction) {
  Matrix upper = ErrorEnergy(direction);
  Factor(&upper);
  Taps taps{direction, {}};
  for (int n = 0; n < kTapCount; ++n) {
    double wanted = exact[n];
    for (int k = 0; k < n; ++k) wanted += upper[k][n] / upper[n][n] * (exact[k] - taps.values[k]);
    taps.values[n] = static_cast<int>(std::lround(wanted));
  }
  return taps;
}

/// Moves fine taps by one unit until the class sums to 1, first those that rounding had taken farthest the other way.
void MakeSumExact(const Vector& exact, int sumClass, Taps* taps) {
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
  Vector exact;
  for (int n = 0; n < kTapCount; ++n)
    exact[n] = impulse[n] * std::ldexp(SumClassCount(direction), ScaleOf(direction, n));
  Taps taps = RoundShaped(exact, direction);
  for (int c = 0; c < SumClassCount(direction); ++c) MakeSumExact(exact, c, &taps);
  return taps;
}

}  // namespace trunkline::filter
