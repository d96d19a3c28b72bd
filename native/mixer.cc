#include "mixer.h"

#include <algorithm>

#include "saturate.h"

namespace trunkline {
namespace {

constexpr size_t kMixBlock = 240;  // samples summed at a time, to keep the sums on the stack

/// total[i] = the active members' samples `begin` + i, added up.
void SumActive(const int16_t* inputs, const uint8_t* active, size_t members, size_t samples, size_t begin, size_t count,
               int32_t* total) {
  std::fill_n(total, count, 0);
  for (size_t member = 0; member < members; ++member) {
    if (!active[member]) continue;
    const int16_t* own = inputs + member * samples + begin;
    for (size_t i = 0; i < count; ++i) total[i] += own[i];
  }
}

}  // namespace

void MixMinus(const int16_t* inputs, const uint8_t* active, size_t members, size_t samples, int16_t* outputs) {
  for (size_t begin = 0; begin < samples; begin += kMixBlock) {
    const size_t count = std::min(kMixBlock, samples - begin);
    int32_t total[kMixBlock];
    SumActive(inputs, active, members, samples, begin, count, total);
    for (size_t member = 0; member < members; ++member) {
      const int16_t* own = inputs + member * samples + begin;
      int16_t* out = outputs + member * samples + begin;
      if (active[member]) {
        for (size_t i = 0; i < count; ++i) out[i] = Saturate(total[i] - own[i]);
      } else {
        for (size_t i = 0; i < count; ++i) out[i] = Saturate(total[i]);
      }
    }
  }
}

void Mix(const int16_t* inputs, const uint8_t* active, size_t members, size_t samples, int16_t* output) {
  for (size_t begin = 0; begin < samples; begin += kMixBlock) {
    const size_t count = std::min(kMixBlock, samples - begin);
    int32_t total[kMixBlock];
    SumActive(inputs, active, members, samples, begin, count, total);
    for (size_t i = 0; i < count; ++i) output[begin + i] = Saturate(total[i]);
  }
}

}  // namespace trunkline
