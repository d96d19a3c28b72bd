// Bringing a sum of samples back into the range of one.

#ifndef TRUNKLINE_NATIVE_SATURATE_H_
#define TRUNKLINE_NATIVE_SATURATE_H_

#include <cstdint>

namespace trunkline {

/// The int16 nearest to `value`.
constexpr int16_t Saturate(int32_t value) {
  return static_cast<int16_t>(value < INT16_MIN ? INT16_MIN : value > INT16_MAX ? INT16_MAX : value);
}

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_SATURATE_H_
