// What a filter does to tones.

#ifndef TRUNKLINE_NATIVE_FILTER_RESPONSE_H_
#define TRUNKLINE_NATIVE_FILTER_RESPONSE_H_

#include <array>
#include <vector>

namespace trunkline::filter {

inline constexpr std::array<int, 5> kDelayFrequencies = {300, 1000, 2000, 3000, 3400};

struct Response {
  double rippleDb;     // largest deviation from 0 dB, 0 Hz to kPassEdge
  double stopDb;       // largest gain from kStopEdge on
  double imageDb;      // largest gain where images of the phone band lie, or, the other way, where aliases come from
  double halfPowerHz;  // -3 dB
  std::array<double, kDelayFrequencies.size()> delayMs;  // group delay at kDelayFrequencies
};

Response MeasureResponse(const std::vector<double>& impulse);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_RESPONSE_H_
