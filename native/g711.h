// ITU-T G.711, exact for every input: mu-law, and A-law as Europe and most of the world have it.
//
// A mu-law byte is the complement of sign (1 bit), segment (3 bits), step (4 bits). On a 14-bit scale, segment s covers
// the biased magnitudes 32 << s ... (64 << s) - 1 in 16 steps of 2 << s; the bias of 33 is what makes the segments
// powers of two. An A-law byte is sign, segment and step of a 12-bit magnitude without bias, whose first two segments
// have the same step, with every other bit inverted.

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

/// Every other bit is inverted on the line, so that silence has edges a clock can follow.
inline constexpr int kAlawInversion = 0x55;

/// An A-law byte as a linear sample, -32256 to 32256: the middle of its step.
constexpr int16_t AlawToLinear(uint8_t byte) {
  const int code = byte ^ kAlawInversion;
  const int segment = code >> 4 & 7;
  const int step = (code & 15) + (segment > 0 ? 16 : 0);
  const int magnitude = ((step << 4) + 8) << (segment > 1 ? segment - 1 : 0);
  return static_cast<int16_t>(code & 0x80 ? magnitude : -magnitude);
}

/// The byte of the upper 12 bits of a sample; a negative one is complemented, not negated.
constexpr uint8_t LinearToAlaw(int sample12) {
  int magnitude = sample12 < 0 ? ~sample12 : sample12;
  int segment = magnitude >= 16 ? 1 : 0;
  while (magnitude >= 32) {
    magnitude >>= 1;
    ++segment;
  }
  return static_cast<uint8_t>(((sample12 < 0 ? 0 : 0x80) | segment << 4 | (magnitude & 15)) ^ kAlawInversion);
}

/// MulawToLinear of every byte.
extern const std::array<int16_t, 256> kMulawToLinear;

/// LinearToMulaw, indexed by the upper 14 bits of a sample in two's complement: the negative half follows the positive
/// one.
extern const std::array<uint8_t, 1 << 14> kLinearToMulaw;

/// AlawToLinear of every byte, and LinearToAlaw by the upper 12 bits of a sample.
extern const std::array<int16_t, 256> kAlawToLinear;
extern const std::array<uint8_t, 1 << 12> kLinearToAlaw;

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_G711_H_
