// The inner loops of the core, once for each instruction set. The scalar ones define the output: every other one gives
// the same bytes for every input, and is chosen when the program runs, by what the processor can do.

#ifndef TRUNKLINE_NATIVE_KERNELS_KERNELS_H_
#define TRUNKLINE_NATIVE_KERNELS_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../coefficients.h"

namespace trunkline {

/// 8 kHz samples a converter works on at a time (20 ms): the bound of everything on the kernels' stacks.
inline constexpr int kBlock = 160;

/// 8 kHz sample periods a filter looks back over.
inline constexpr int kHistory = kTapRows - 1;

/// What the last block left to the next one. Aligned for no one in particular: thousands of them share the cache.
struct UpHistory {
  int16_t samples[kHistory] = {};  // in 14 bits, oldest first
};
struct DownHistory {
  /// Lane pair j holds the input samples 6k + 2j and 6k + 2j + 1 side by side, oldest first.
  int16_t pairs[kRatio / 2][2 * kHistory] = {};
};

/// One instruction set's loops. Pointers need no alignment; inputs and outputs must not overlap unless said.
struct Kernels {
  /// As TRANSCODER and /health name it.
  const char* name;

  /// x6: `count` samples at 8 kHz, 0 to kBlock, of which the upper 14 bits count, to 6 * `count` at 48 kHz.
  void (*upsample)(const int16_t* in, int count, UpHistory* history, int16_t* out);

  /// /6: 6 * `count` samples at 48 kHz to `count`, 0 to kBlock, at 8 kHz.
  void (*downsample)(const int16_t* in, int count, DownHistory* history, int16_t* out);

  /// ITU-T G.711 mu-law, see g711.h.
  void (*decodeMulaw)(const uint8_t* bytes, size_t count, int16_t* pcm);
  void (*encodeMulaw)(const int16_t* pcm, size_t count, uint8_t* bytes);

  /// `groups` times four characters, none of them padding, to as many times three bytes. Returns false if a character
  /// is not of the alphabet; `bytes` may then hold anything.
  bool (*decodeBase64)(const uint8_t* text, size_t groups, uint8_t* bytes);

  /// `groups` times three bytes to as many times four characters.
  void (*encodeBase64)(const uint8_t* bytes, size_t groups, char* text);

  /// total[i] += samples[i].
  void (*add)(const int16_t* samples, size_t count, int32_t* total);

  /// out[i] = total[i] - own[i], which must be a sample. `own` may be `out`.
  void (*subtract)(const int32_t* total, const int16_t* own, size_t count, int16_t* out);

  /// out[i] = total[i], which must be a sample.
  void (*narrow)(const int32_t* total, size_t count, int16_t* out);

  /// The same for a sum of up to 65,535 samples, limited as limit.h has it.
  void (*subtractLimited)(const int32_t* total, const int16_t* own, size_t count, int16_t* out);
  void (*limit)(const int32_t* total, size_t count, int16_t* out);
};

/// The reference. Always there.
extern const Kernels kScalarKernels;

/// Each is there where its instruction set can be compiled for, see kernels.cc, and may be called where it can run.
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kSse2Kernels;
extern const Kernels kNeonKernels;
extern const Kernels kSimd128Kernels;

/// The kernels this processor can run, best first; the scalar ones are the last. `index` beyond them gives null.
const Kernels* UsableKernels(size_t index);

/// The first of them.
const Kernels& BestKernels();

/// The usable kernels of that name, or null.
const Kernels* FindKernels(std::string_view name);

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_KERNELS_KERNELS_H_
