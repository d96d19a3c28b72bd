// The square root of a power response, as a filter.

#ifndef TRUNKLINE_NATIVE_FILTER_SPECTRAL_FACTOR_H_
#define TRUNKLINE_NATIVE_FILTER_SPECTRAL_FACTOR_H_

#include <vector>

namespace trunkline::filter {

/// The minimum-phase impulse response h with |H|^2 = c[0] + 2 * (c[1] cos w + ...) + lift, as long as `coefficients`.
/// Throws std::domain_error if the right side is not positive everywhere.
std::vector<double> MinimumPhaseFactor(const std::vector<long double>& coefficients, double lift);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_SPECTRAL_FACTOR_H_
