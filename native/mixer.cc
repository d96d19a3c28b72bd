#include "mixer.h"

#include <algorithm>

namespace trunkline {
namespace {

constexpr size_t kMixBlock = 240;  // samples summed at a time, to keep the sums on the stack

/// total[i] = the active members' samples `begin` + i, added up.
void SumActive(const Kernels& kernels, const int16_t* inputs, const uint8_t* active, size_t members, size_t samples,
               size_t begin, size_t count, int32_t* total) {
  std::fill_n(total, count, 0);
  for (size_t member = 0; member < members; ++member) {
    if (!active[member]) continue;
    kernels.add(inputs + member * samples + begin, count, total);
  }
}

size_t CountActive(const uint8_t* active, size_t members) {
  size_t count = 0;
  for (size_t member = 0; member < members; ++member) count += active[member] != 0;
  return count;
}

}  // namespace

void MixMinus(const Kernels& kernels, const int16_t* inputs, const uint8_t* active, size_t members, size_t samples,
              int16_t* outputs) {
  // One voice is a sample as it is, however loud.
  const size_t voices = CountActive(active, members);
  const auto subtract = voices > 2 ? kernels.subtractLimited : kernels.subtract;
  const auto narrow = voices > 1 ? kernels.limit : kernels.narrow;
  for (size_t begin = 0; begin < samples; begin += kMixBlock) {
    const size_t count = std::min(kMixBlock, samples - begin);
    int32_t total[kMixBlock];
    SumActive(kernels, inputs, active, members, samples, begin, count, total);
    for (size_t member = 0; member < members; ++member) {
      const int16_t* own = inputs + member * samples + begin;
      int16_t* out = outputs + member * samples + begin;
      if (active[member]) {
        subtract(total, own, count, out);
      } else {
        narrow(total, count, out);
      }
    }
  }
}

void Mix(const Kernels& kernels, const int16_t* inputs, const uint8_t* active, size_t members, size_t samples,
         int16_t* output) {
  const auto narrow = CountActive(active, members) > 1 ? kernels.limit : kernels.narrow;
  for (size_t begin = 0; begin < samples; begin += kMixBlock) {
    const size_t count = std::min(kMixBlock, samples - begin);
    int32_t total[kMixBlock];
    SumActive(kernels, inputs, active, members, samples, begin, count, total);
    narrow(total, count, output + begin);
  }
}

}  // namespace trunkline
