// Brings a sum of voices back into the range of a sample without clipping its peaks.

#ifndef TRUNKLINE_NATIVE_LIMIT_H_
#define TRUNKLINE_NATIVE_LIMIT_H_

#include <cstdint>

namespace trunkline {

/// Sums up to this are unchanged: -3 dBFS.
inline constexpr int32_t kKnee = 23199;

/// What is left above the knee, and its square, which a float holds exactly.
inline constexpr int32_t kHeadroom = INT16_MAX - kKnee;
inline constexpr auto kHeadroomSquared = static_cast<float>(kHeadroom * kHeadroom);
static_assert(static_cast<int32_t>(kHeadroomSquared) == kHeadroom * kHeadroom);

/// A sum of up to 65,535 samples, within an int16. Above the knee an excess of x becomes x * h / (x + h) of the
/// headroom h: a curve that leaves the straight line without a bend, always rises, and never gets beyond full scale.
/// The one division is a float's, which every processor rounds alike.
constexpr int16_t Limit(int32_t sum) {
  const int32_t magnitude = sum < 0 ? -sum : sum;
  const int32_t excess = magnitude > kKnee ? magnitude - kKnee : 0;
  const auto missing = static_cast<int32_t>(kHeadroomSquared / static_cast<float>(excess + kHeadroom));
  const int32_t limited = magnitude - excess + kHeadroom - missing;
  return static_cast<int16_t>(sum < 0 ? -limited : limited);
}
static_assert(Limit(kKnee) == kKnee && Limit(-kKnee - 1) == -kKnee - 1 && Limit(65535 * INT16_MAX) == INT16_MAX);

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_LIMIT_H_
