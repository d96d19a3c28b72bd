// From real numbers to integers.

#ifndef TRUNKLINE_NATIVE_FILTER_QUANTISE_H_
#define TRUNKLINE_NATIVE_FILTER_QUANTISE_H_

#include <vector>

#include "taps.h"

namespace trunkline::filter {

/// Rounds each tap to its own scale so that the error falls where it hurts least, and makes the sums exact.
Taps Quantise(const std::vector<double>& impulse, Direction direction);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_QUANTISE_H_
