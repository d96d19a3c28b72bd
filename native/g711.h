// ITU-T G.711 mu-law, exact for every input.
//
// A mu-law byte is the complement of sign (1 bit), segment (3 bits), step (4 bits). On a 14-bit scale, segment s covers
// the biased magnitudes 32 << s ... (64 << s) - 1 in 16 steps of 2 << s; the bias of 33 is what makes the segments
// powers of two.

#ifndef TRUNKLINE_NATIVE_G711_H_
#define TRUNKLINE_NATIVE_G711_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace trunkline {

/// The mu-law byte of silence (positive zero).
inline constexpr uint8_t kMulawSilence = 0xFF;

inline constexpr int kMulawBias = 33;
inline constexpr int kMulawLargest = 0x1FFF;

/// A byte as a linear sample, -32124 to 32124, a multiple of 4.
constexpr int16_t MulawToLinear(uint8_t byte) {
  const int code = ~byte & 0xFF;
  const int segment = code >> 4 & 7;
  const int step = code & 15;
  const int magnitude = ((2 * step + kMulawBias) << segment) - kMulawBias;
  return static_cast<int16_t>(4 * (code & 0x80 ? -magnitude : magnitude));
}

/// The byte of the upper 14 bits of a sample. A negative one is complemented, not negated: -1 is the first step below
/// zero.
constexpr uint8_t LinearToMulaw(int sample14) {
  int magnitude = (sample14 < 0 ? ~sample14 : sample14) + kMulawBias;
  if (magnitude > kMulawLargest) magnitude = kMulawLargest;
  int segment = 0;
  while (magnitude >> (segment + 6) != 0) ++segment;
  const int step = magnitude >> (segment + 1) & 15;
  return static_cast<uint8_t>(~((sample14 < 0 ? 0x80 : 0) | segment << 4 | step));
}

/// MulawToLinear of every byte.
extern const std::array<int16_t, 256> kMulawToLinear;

/// LinearToMulaw, indexed by the upper 14 bits of a sample in two's complement: the negative half follows the positive
/// one.
extern const std::array<uint8_t, 1 << 14> kLinearToMulaw;

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_G711_H_
