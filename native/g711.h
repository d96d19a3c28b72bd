// ITU-T G.711 mu-law, exact for every input.

#ifndef TRUNKLINE_NATIVE_G711_H_
#define TRUNKLINE_NATIVE_G711_H_

#include <cstddef>
#include <cstdint>

namespace trunkline {

/// The mu-law byte of silence (positive zero).
inline constexpr uint8_t kMulawSilence = 0xFF;

/// Decodes `count` bytes to as many linear samples, -32124 to 32124, each a multiple of 4.
void DecodeMulaw(const uint8_t* bytes, size_t count, int16_t* pcm);

/// Encodes `count` linear samples to as many bytes. Only the upper 14 bits of a sample count.
void EncodeMulaw(const int16_t* pcm, size_t count, uint8_t* bytes);

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_G711_H_
