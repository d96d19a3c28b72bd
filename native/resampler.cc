#include "resampler.h"

#include <algorithm>

namespace trunkline {

void Upsampler::Process(const Kernels& kernels, const int16_t* in, size_t count, int16_t* out) {
  while (count > 0) {
    const int block = static_cast<int>(std::min<size_t>(count, kBlock));
    kernels.upsample(in, block, &history_, out);
    in += block;
    out += kRatio * block;
    count -= block;
  }
}

void Downsampler::Process(const Kernels& kernels, const int16_t* in, size_t count, int16_t* out) {
  while (count > 0) {
    const int block = static_cast<int>(std::min<size_t>(count, kBlock));
    kernels.downsample(in, block, &history_, out);
    in += kRatio * block;
    out += block;
    count -= block;
  }
}

}  // namespace trunkline
