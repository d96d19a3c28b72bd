// 64-bit ARM: NEON, vectors of 128 bits.

#if defined(__aarch64__) || defined(_M_ARM64)

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>

#include "../g711.h"
#include "../limit.h"
#include "instructions.h"
#include "kernels.h"
#include "plan.h"
#include "simd.h"

namespace trunkline {
namespace {

struct Neon {
  using Vector = int32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kDownVectors = 4;
  static constexpr size_t kSlackGroups = 2;

  template <class T>
  static void Hide(T*& pointer) {
    TRUNKLINE_HIDE(pointer);
  }

  static Vector Load(const void* from) { return Of(vld1q_u8(static_cast<const uint8_t*>(from))); }
  static void Store(void* to, Vector v) { vst1q_u8(static_cast<uint8_t*>(to), Bytes(v)); }
  static Vector Splat(int32_t value) { return vdupq_n_s32(value); }
  static Vector Splat16(int16_t value) { return Of(vdupq_n_s16(value)); }
  static Vector Splat8(char value) { return Of(vdupq_n_s8(static_cast<int8_t>(value))); }
  static Vector SplatPair(const int16_t* pair) {
    int32_t bits;
    std::memcpy(&bits, pair, sizeof(bits));
    return vdupq_n_s32(bits);
  }

  static Vector And(Vector a, Vector b) { return vandq_s32(a, b); }
  static Vector AndNot(Vector mask, Vector v) { return vbicq_s32(v, mask); }
  static Vector Or(Vector a, Vector b) { return vorrq_s32(a, b); }
  static Vector Xor(Vector a, Vector b) { return veorq_s32(a, b); }

  // A shift by a variable takes a vector of counts; compilers turn it into one by a constant.
  static Vector Add(Vector a, Vector b) { return vaddq_s32(a, b); }
  static Vector Subtract(Vector a, Vector b) { return vsubq_s32(a, b); }
  static Vector Quotient(float dividend, Vector v) {
    return vcvtq_s32_f32(vdivq_f32(vdupq_n_f32(dividend), vcvtq_f32_s32(v)));
  }
  static Vector ShiftRight32(Vector v, int bits) { return vshlq_s32(v, vdupq_n_s32(-bits)); }
  static Vector ShiftRightZero32(Vector v, int bits) {
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v), vdupq_n_s32(-bits)));
  }
  static Vector ShiftLeft32(Vector v, int bits) { return vshlq_s32(v, vdupq_n_s32(bits)); }
  static Vector Multiply(Vector a, Vector b) {
    const int16x8_t x = Words(a), y = Words(b);
    return vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
  }
  static Vector AddProducts(Vector sum, Vector a, Vector b) {
    sum = vaddq_s32(sum, Multiply(a, b));
    TRUNKLINE_PIN(sum);
    return sum;
  }
  static void AddProductsTo(Vector* sum, Vector a, Vector b) { *sum = AddProducts(*sum, a, b); }

  static Vector Add16(Vector a, Vector b) { return Of(vaddq_s16(Words(a), Words(b))); }
  static Vector Subtract16(Vector a, Vector b) { return Of(vsubq_s16(Words(a), Words(b))); }
  static Vector ShiftLeft16(Vector v, int bits) {
    return Of(vshlq_s16(Words(v), vdupq_n_s16(static_cast<int16_t>(bits))));
  }
  static Vector ShiftRight16(Vector v, int bits) {
    return Of(vshlq_s16(Words(v), vdupq_n_s16(static_cast<int16_t>(-bits))));
  }
  static Vector Greater16(Vector a, Vector b) { return vreinterpretq_s32_u16(vcgtq_s16(Words(a), Words(b))); }
  static Vector Smaller16(Vector a, Vector b) { return Of(vminq_s16(Words(a), Words(b))); }

  static Vector Add8(Vector a, Vector b) { return Of(vaddq_u8(Bytes(a), Bytes(b))); }
  static Vector Greater8(Vector a, Vector b) { return Of(vcgtq_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b))); }
  static Vector Equal8(Vector a, Vector b) { return Of(vceqq_u8(Bytes(a), Bytes(b))); }
  static bool AllOnes(Vector v) { return vminvq_u8(Bytes(v)) == 0xFF; }

  static Vector Widen(const int16_t* from) { return vmovl_s16(vld1_s16(from)); }
  static Vector WidenBytes(const uint8_t* from) { return vreinterpretq_s32_u16(vmovl_u8(vld1_u8(from))); }
  static void StoreNarrow(Vector v, int16_t* to) { vst1_s16(to, vqmovn_s32(v)); }
  static void StoreNarrowBytes(Vector v, uint8_t* to) { vst1_u8(to, vmovn_u16(vreinterpretq_u16_s32(v))); }

  /// Each of 8 samples with its successor, as 8 pairs.
  static void StorePairs(const int16_t* samples, int32_t* pairs) {
    const int16x8_t own = vld1q_s16(samples), next = vld1q_s16(samples + 1);
    Store(pairs, Of(vzip1q_s16(own, next)));
    Store(pairs + 4, Of(vzip2q_s16(own, next)));
  }

  /// Outputs of six phases, saturated, in the order of time.
  static void StorePhases(Vector y0, Vector y1, Vector y2, Vector y3, Vector y4, Vector y5, int16_t* out) {
    vst3q_s32(reinterpret_cast<int32_t*>(out), {{PairUp(y0, y1), PairUp(y2, y3), PairUp(y4, y5)}});
  }

  /// 12 pairs of samples, dealt to three lane pairs in turn.
  static void SplitPairs(const int16_t* in, int32_t* pair0, int32_t* pair1, int32_t* pair2) {
    const int32x4x3_t dealt = vld3q_s32(reinterpret_cast<const int32_t*>(in));
    Store(pair0, dealt.val[0]);
    Store(pair1, dealt.val[1]);
    Store(pair2, dealt.val[2]);
  }

  /// The low three bytes of each lane, one after the other. Writes four bytes beyond them.
  static void StoreTriples(Vector v, uint8_t* to) {
    constexpr uint8_t kOrder[] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 255, 255, 255, 255};
    vst1q_u8(to, vqtbl1q_u8(Bytes(v), vld1q_u8(kOrder)));
  }

  /// Three bytes into the low part of each lane. Reads four bytes beyond them.
  static Vector LoadTriples(const uint8_t* from) {
    constexpr uint8_t kOrder[] = {0, 1, 2, 255, 3, 4, 5, 255, 6, 7, 8, 255, 9, 10, 11, 255};
    return Of(vqtbl1q_u8(vld1q_u8(from), vld1q_u8(kOrder)));
  }

 private:
  static Vector Of(int16x8_t v) { return vreinterpretq_s32_s16(v); }
  static Vector Of(uint8x16_t v) { return vreinterpretq_s32_u8(v); }
  static Vector Of(int8x16_t v) { return vreinterpretq_s32_s8(v); }
  static int16x8_t Words(Vector v) { return vreinterpretq_s16_s32(v); }
  static uint8x16_t Bytes(Vector v) { return vreinterpretq_u8_s32(v); }

  /// Two phases, saturated and side by side.
  static Vector PairUp(Vector even, Vector odd) {
    const int16x4_t low = vqmovn_s32(even), high = vqmovn_s32(odd);
    return Of(vcombine_s16(vzip1_s16(low, high), vzip2_s16(low, high)));
  }
};

}  // namespace

const Kernels kNeonKernels = KernelsOf<Neon>("neon");

}  // namespace trunkline

#endif
