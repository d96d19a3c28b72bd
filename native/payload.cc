#include "payload.h"

#include <algorithm>

#include "g711.h"

namespace trunkline {

void DecodePayload(const Kernels& kernels, Format format, const uint8_t* payload, size_t count, int16_t* pcm) {
  if (format == Format::kMulaw) return kernels.decodeMulaw(payload, count, pcm);
  if (format == Format::kAlaw) {
    for (size_t i = 0; i < count; ++i) pcm[i] = kAlawToLinear[payload[i]];
    return;
  }
  const size_t high = format == Format::kL16 ? 0 : 1;
  for (size_t i = 0; i < count; ++i) {
    const int sample = static_cast<int16_t>(payload[2 * i + high] << 8 | payload[2 * i + 1 - high]);
    // The filter drops the lower two bits: half of what they count makes that a rounding.
    pcm[i] = static_cast<int16_t>(std::min(sample + 2, INT16_MAX));
  }
}

void EncodePayload(const Kernels& kernels, Format format, const int16_t* pcm, size_t count, uint8_t* payload) {
  if (format == Format::kMulaw) return kernels.encodeMulaw(pcm, count, payload);
  if (format == Format::kAlaw) {
    for (size_t i = 0; i < count; ++i) payload[i] = kLinearToAlaw[static_cast<uint16_t>(pcm[i]) >> 4];
    return;
  }
  const size_t high = format == Format::kL16 ? 0 : 1;
  for (size_t i = 0; i < count; ++i) {
    payload[2 * i + high] = static_cast<uint8_t>(static_cast<uint16_t>(pcm[i]) >> 8);
    payload[2 * i + 1 - high] = static_cast<uint8_t>(pcm[i]);
  }
}

}  // namespace trunkline
