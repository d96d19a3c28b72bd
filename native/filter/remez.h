// The Parks-McClellan algorithm: the best cosine polynomial for a low-pass, in the minimax sense.

#ifndef TRUNKLINE_NATIVE_FILTER_REMEZ_H_
#define TRUNKLINE_NATIVE_FILTER_REMEZ_H_

#include <vector>

namespace trunkline::filter {

struct LowPass {
  double passEdge;    // Hz, wanted value 1 up to here
  double stopEdge;    // Hz, wanted value 0 from here
  double stopWeight;  // an error in the stop band counts this many times one in the pass band
};

struct Polynomial {
  /// c[0] + 2 * (c[1] cos w + c[2] cos 2w + ...): the right half of a symmetric filter.
  std::vector<long double> coefficients;
  long double stopError;  // largest magnitude in the stop band
};

/// Throws std::runtime_error if the exchange does not converge.
Polynomial DesignLowPass(int coefficientCount, const LowPass& wanted);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_REMEZ_H_
