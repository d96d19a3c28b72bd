#include "prototype.h"

#include <numeric>

#include "band.h"
#include "remez.h"
#include "spectral_factor.h"
#include "taps.h"

namespace trunkline::filter {
namespace {

// The price of stop-band error on |H|^2. It trades ripple (0.0071 dB) for rejection (97.8 dB) and leaves both some room
// for the rounding to integers.
constexpr double kStopWeight = 1e7;

// |H|^2 of the equiripple design swings around zero in the stop band. Lifting it by its error, and a little more for
// what the exchange may have overlooked between its grid points, makes it a power that has a square root.
constexpr double kExtraLift = 3e-3;

}  // namespace

std::vector<double> DesignPrototype() {
  const Polynomial power = DesignLowPass(kTapCount, {kPassEdge, kStopEdge, kStopWeight});
  const double lift = static_cast<double>(power.stopError) * (1 + kExtraLift);
  std::vector<double> impulse = MinimumPhaseFactor(power.coefficients, lift);

  const double gain = std::accumulate(impulse.begin(), impulse.end(), 0.0);
  for (double& tap : impulse) tap /= gain;
  return impulse;
}

}  // namespace trunkline::filter
