// Sums of voices: what each member of a room hears of all others, and what one listener hears of everybody.

#ifndef TRUNKLINE_NATIVE_MIXER_H_
#define TRUNKLINE_NATIVE_MIXER_H_

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace trunkline {

/// Members up to this many keep every sum inside an int32.
inline constexpr size_t kMaxMixMembers = 65535;

/// `inputs` and `outputs` are members x samples, one member's samples after the other's; they may be the same array. A
/// member whose `active` flag is not zero is heard by all others. Each output is the sum of the other active members,
/// softly limited (see limit.h) if there are two of them or more: one alone is heard as it is.
void MixMinus(const Kernels& kernels, const int16_t* inputs, const uint8_t* active, size_t members, size_t samples,
              int16_t* outputs);

/// `output` is the sum of the active members' samples, limited in the same way. It may be one member's part of
/// `inputs`.
void Mix(const Kernels& kernels, const int16_t* inputs, const uint8_t* active, size_t members, size_t samples,
         int16_t* output);

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_MIXER_H_
