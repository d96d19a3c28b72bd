// What a stream's payload is made of: 8 kHz mono in one of four formats, and its samples.

#ifndef TRUNKLINE_NATIVE_PAYLOAD_H_
#define TRUNKLINE_NATIVE_PAYLOAD_H_

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace trunkline {

/// In the order of PAYLOAD_FORMATS in src/media/core.ts.
enum class Format : uint8_t {
  kMulaw,      // ITU-T G.711 mu-law, what Twilio sends
  kAlaw,       // ITU-T G.711 A-law
  kL16,        // linear, 16 bits, network byte order (RFC 3551 section 4.5.11)
  kL16Little,  // linear, 16 bits, little endian, as several carriers send over WebSocket
};

constexpr size_t BytesPerSample(Format format) { return format <= Format::kAlaw ? 1 : 2; }

/// `count` samples of payload as linear ones. Those of 16 bits come rounded to 14, which is what the filter takes.
void DecodePayload(const Kernels& kernels, Format format, const uint8_t* payload, size_t count, int16_t* pcm);

/// `count` linear samples as payload.
void EncodePayload(const Kernels& kernels, Format format, const int16_t* pcm, size_t count, uint8_t* payload);

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_PAYLOAD_H_
