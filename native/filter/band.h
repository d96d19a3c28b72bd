// Where the filter passes and where it stops.

#ifndef TRUNKLINE_NATIVE_FILTER_BAND_H_
#define TRUNKLINE_NATIVE_FILTER_BAND_H_

namespace trunkline::filter {

inline constexpr double kSampleRate = 48000;
inline constexpr double kNyquist = kSampleRate / 2;

/// The phone band. Below 300 Hz a line carries nothing, which matters for images only.
inline constexpr double kPhoneFloor = 300;
inline constexpr double kPassEdge = 3400;

/// Half of the phone's sample rate: nothing above may fold back, and no image above may remain.
inline constexpr double kStopEdge = 4000;
inline constexpr double kPhoneRate = 8000;

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_BAND_H_
