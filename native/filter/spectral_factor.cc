#include "spectral_factor.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <stdexcept>

#include "fft.h"

namespace trunkline::filter {
namespace {

// The logarithm of a response that nearly touches zero has sharp dips, so its cepstrum is long; what does not fit folds
// over and spoils the result.
constexpr size_t kTransformSize = size_t{1} << 21;

using Spectrum = std::vector<std::complex<double>>;

/// The power response at kTransformSize frequencies around the circle, without the lift.
Spectrum PowerResponse(const std::vector<long double>& coefficients) {
  Spectrum power(kTransformSize);
  power[0] = static_cast<double>(coefficients[0]);
  for (size_t k = 1; k < coefficients.size(); ++k)
    power[k] = power[kTransformSize - k] = static_cast<double>(coefficients[k]);
  Transform(&power);
  return power;
}

double LogMagnitude(double power) {
  if (power <= 0) throw std::domain_error("spectral factor: the power response is not positive");
  return std::log(power) / 2;
}

/// A filter has minimum phase if its cepstrum is zero at negative times: they are added to the positive ones.
void FoldCepstrum(Spectrum* cepstrum) {
  const size_t half = cepstrum->size() / 2;
  for (size_t k = 1; k < half; ++k) (*cepstrum)[k] *= 2;
  std::fill(cepstrum->begin() + static_cast<ptrdiff_t>(half) + 1, cepstrum->end(), 0);
}

}  // namespace

std::vector<double> MinimumPhaseFactor(const std::vector<long double>& coefficients, double lift) {
  Spectrum spectrum = PowerResponse(coefficients);
  for (auto& value : spectrum) value = LogMagnitude(value.real() + lift);
  TransformBack(&spectrum);
  FoldCepstrum(&spectrum);
  Transform(&spectrum);
  for (auto& value : spectrum) value = std::exp(value);
  TransformBack(&spectrum);

  std::vector<double> impulse(coefficients.size());
  for (size_t n = 0; n < impulse.size(); ++n) impulse[n] = spectrum[n].real();
  return impulse;
}

}  // namespace trunkline::filter
