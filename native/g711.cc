#include "g711.h"

#include <array>

// A mu-law byte is the complement of sign (1 bit), segment (3 bits), step (4 bits). On a 14-bit scale, segment s covers
// the biased magnitudes 32 << s ... (64 << s) - 1 in 16 steps of 2 << s; the bias of 33 is what makes the segments
// powers of two.

namespace trunkline {
namespace {

constexpr int kBias = 33;
constexpr int kLargestMagnitude = 0x1FFF;

constexpr int16_t Decode(uint8_t byte) {
  const int code = ~byte & 0xFF;
  const int segment = code >> 4 & 7;
  const int step = code & 15;
  const int magnitude = ((2 * step + kBias) << segment) - kBias;
  return static_cast<int16_t>(4 * (code & 0x80 ? -magnitude : magnitude));
}

/// `sample` has 14 bits. A negative one is complemented, not negated: -1 is the first step below zero.
constexpr uint8_t Encode(int sample) {
  int magnitude = (sample < 0 ? ~sample : sample) + kBias;
  if (magnitude > kLargestMagnitude) magnitude = kLargestMagnitude;
  int segment = 0;
  while (magnitude >> (segment + 6) != 0) ++segment;
  const int step = magnitude >> (segment + 1) & 15;
  return static_cast<uint8_t>(~((sample < 0 ? 0x80 : 0) | segment << 4 | step));
}

constexpr std::array<int16_t, 256> MakeDecodeTable() {
  std::array<int16_t, 256> table{};
  for (int byte = 0; byte < 256; ++byte) table[byte] = Decode(static_cast<uint8_t>(byte));
  return table;
}

/// Indexed by the upper 14 bits of a sample in two's complement: the negative half follows the positive one.
constexpr std::array<uint8_t, 1 << 14> MakeEncodeTable() {
  std::array<uint8_t, 1 << 14> table{};
  for (int index = 0; index < 1 << 14; ++index) table[index] = Encode(index < 1 << 13 ? index : index - (1 << 14));
  return table;
}

constexpr auto kDecode = MakeDecodeTable();
constexpr auto kEncode = MakeEncodeTable();

static_assert(kDecode[kMulawSilence] == 0 && kEncode[0] == kMulawSilence, "silence is zero both ways");

}  // namespace

void DecodeMulaw(const uint8_t* bytes, size_t count, int16_t* pcm) {
  for (size_t i = 0; i < count; ++i) pcm[i] = kDecode[bytes[i]];
}

void EncodeMulaw(const int16_t* pcm, size_t count, uint8_t* bytes) {
  for (size_t i = 0; i < count; ++i) bytes[i] = kEncode[static_cast<uint16_t>(pcm[i]) >> 2];
}

}  // namespace trunkline
