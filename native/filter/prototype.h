// The filter before it is made of integers.

#ifndef TRUNKLINE_NATIVE_FILTER_PROTOTYPE_H_
#define TRUNKLINE_NATIVE_FILTER_PROTOTYPE_H_

#include <vector>

namespace trunkline::filter {

/// The impulse response of kTapCount taps at 48 kHz, with a gain of 1 at 0 Hz.
std::vector<double> DesignPrototype();

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_PROTOTYPE_H_
