#include "mixer.h"

#include <algorithm>

namespace trunkline {
namespace {

constexpr size_t kMixBlock = 240;  // samples summed at a time, to keep the sums on the stack

/// total[i] = the active members' samples `begin` + i, added up.
void SumActive(const Kernels& kernels, const int16_t* inputs, const uint8_t* active, size_t members, size_t samples, size_t begin, size_t count,
               int32_t* total) {
  std::fill_n(total, count, 0);
  for (size_t member = 0; member < members; ++member) {
    if (!active[member]) continue;
    kernels.add(inputs + member * samples + begin, count, total);
  }
}

}  // namespace

void MixMinus(const Kernels& kernels, const int16_t* inputs, const uint8_t* active, size_t members, size_t samples, int16_t* outputs) {
  for (size_t begin = 0; begin < samples; begin += kMixBlock) {
    const size_t count = std::min(kMixBlock, samples - begin);
    int32_t total[kMixBlock];
    SumActive(kernels, inputs, active, members, samples, begin, count, total);
    for (size_t member = 0; member < members; ++member) {
      const int16_t* own = inputs + member * samples + begin;
      int16_t* out = outputs + member * samples + begin;
      if (active[member]) {
        kernels.subtract(total, own, count, out);
      } else {
        kernels.saturate(total, count, out);
      }
    }
  }
}

void Mix(const Kernels& kernels, const int16_t* inputs, const uint8_t* active, size_t members, size_t samples, int16_t* output) {
  for (size_t begin = 0; begin < samples; begin += kMixBlock) {
    const size_t count = std::min(kMixBlock, samples - begin);
    int32_t total[kMixBlock];
    SumActive(kernels, inputs, active, members, samples, begin, count, total);
    kernels.saturate(total, count, output + begin);
  }
}

}  // namespace trunkline
