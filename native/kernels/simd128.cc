// WebAssembly with SIMD128 (Node since 16.4): vectors of 128 bits.

#if defined(__wasm_simd128__)

#include <wasm_simd128.h>

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

struct Simd128 {
  using Vector = v128_t;
  static constexpr int kLanes = 4;
  static constexpr int kDownVectors = 4;
  static constexpr size_t kSlackGroups = 2;

  template <class T>
  static void Hide(T*&) {}

  static Vector Load(const void* from) { return wasm_v128_load(from); }
  static void Store(void* to, Vector v) { wasm_v128_store(to, v); }
  static Vector Splat(int32_t value) { return wasm_i32x4_splat(value); }
  static Vector Splat16(int16_t value) { return wasm_i16x8_splat(value); }
  static Vector Splat8(char value) { return wasm_i8x16_splat(value); }
  static Vector SplatPair(const int16_t* pair) { return wasm_v128_load32_splat(pair); }

  static Vector And(Vector a, Vector b) { return wasm_v128_and(a, b); }
  static Vector AndNot(Vector mask, Vector v) { return wasm_v128_andnot(v, mask); }
  static Vector Or(Vector a, Vector b) { return wasm_v128_or(a, b); }
  static Vector Xor(Vector a, Vector b) { return wasm_v128_xor(a, b); }

  static Vector Add(Vector a, Vector b) { return wasm_i32x4_add(a, b); }
  static Vector Subtract(Vector a, Vector b) { return wasm_i32x4_sub(a, b); }
  static Vector Quotient(float dividend, Vector v) {
    return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_div(wasm_f32x4_splat(dividend), wasm_f32x4_convert_i32x4(v)));
  }
  static Vector ShiftRight32(Vector v, int bits) { return wasm_i32x4_shr(v, bits); }
  static Vector ShiftRightZero32(Vector v, int bits) { return wasm_u32x4_shr(v, bits); }
  static Vector ShiftLeft32(Vector v, int bits) { return wasm_i32x4_shl(v, bits); }
  static Vector Multiply(Vector a, Vector b) { return wasm_i32x4_dot_i16x8(a, b); }
  static Vector AddProducts(Vector sum, Vector a, Vector b) { return Add(sum, Multiply(a, b)); }
  static void AddProductsTo(Vector* sum, Vector a, Vector b) {
    *sum = AddProducts(*sum, a, b);
    // Keeps the order as written: in LLVM's own, more values are alive than V8 has registers for. /6 is faster without
    // it on Node 20 and 22, whose V8 orders the code again.
    __asm__ volatile("" : "+r"(*sum));
  }

  static Vector Add16(Vector a, Vector b) { return wasm_i16x8_add(a, b); }
  static Vector Subtract16(Vector a, Vector b) { return wasm_i16x8_sub(a, b); }
  static Vector ShiftLeft16(Vector v, int bits) { return wasm_i16x8_shl(v, bits); }
  static Vector ShiftRight16(Vector v, int bits) { return wasm_i16x8_shr(v, bits); }
  static Vector Greater16(Vector a, Vector b) { return wasm_i16x8_gt(a, b); }
  static Vector Smaller16(Vector a, Vector b) { return wasm_i16x8_min(a, b); }

  static Vector Add8(Vector a, Vector b) { return wasm_i8x16_add(a, b); }
  static Vector Greater8(Vector a, Vector b) { return wasm_i8x16_gt(a, b); }
  static Vector Equal8(Vector a, Vector b) { return wasm_i8x16_eq(a, b); }
  static bool AllOnes(Vector v) { return wasm_i8x16_all_true(v) && wasm_i8x16_bitmask(v) == 0xFFFF; }

  static Vector Widen(const int16_t* from) { return wasm_i32x4_load16x4(from); }
  static Vector WidenBytes(const uint8_t* from) { return wasm_u16x8_load8x8(from); }
  static void StoreNarrow(Vector v, int16_t* to) { wasm_v128_store64_lane(to, wasm_i16x8_narrow_i32x4(v, v), 0); }
  static void StoreNarrowBytes(Vector v, uint8_t* to) { wasm_v128_store64_lane(to, wasm_u8x16_narrow_i16x8(v, v), 0); }

  /// Each of 8 samples with its successor, as 8 pairs.
  static void StorePairs(const int16_t* samples, int32_t* pairs) {
    const Vector own = Load(samples), next = Load(samples + 1);
    Store(pairs, wasm_i16x8_shuffle(own, next, 0, 8, 1, 9, 2, 10, 3, 11));
    Store(pairs + 4, wasm_i16x8_shuffle(own, next, 4, 12, 5, 13, 6, 14, 7, 15));
  }

  /// Outputs of six phases, saturated, in the order of time.
  static void StorePhases(Vector y0, Vector y1, Vector y2, Vector y3, Vector y4, Vector y5, int16_t* out) {
    // Three vectors of pairs, whose lanes go out as a0 b0 c0 a1 | b1 c1 a2 b2 | c2 a3 b3 c3.
    const Vector a = PairUp(y0, y1), b = PairUp(y2, y3), c = PairUp(y4, y5);
    Store(out, wasm_i32x4_shuffle(wasm_i32x4_shuffle(a, b, 0, 4, 1, 1), c, 0, 1, 4, 2));
    Store(out + 8, wasm_i32x4_shuffle(wasm_i32x4_shuffle(a, b, 5, 2, 6, 6), c, 0, 5, 1, 2));
    Store(out + 16, wasm_i32x4_shuffle(wasm_i32x4_shuffle(a, b, 3, 7, 3, 7), c, 6, 0, 1, 7));
  }

  /// 12 pairs of samples, dealt to three lane pairs in turn.
  static void SplitPairs(const int16_t* in, int32_t* pair0, int32_t* pair1, int32_t* pair2) {
    const Vector x = Load(in), y = Load(in + 8), z = Load(in + 16);
    Store(pair0, wasm_i32x4_shuffle(wasm_i32x4_shuffle(x, y, 0, 3, 6, 6), z, 0, 1, 2, 5));
    Store(pair1, wasm_i32x4_shuffle(wasm_i32x4_shuffle(x, y, 1, 4, 7, 7), z, 0, 1, 2, 6));
    Store(pair2, wasm_i32x4_shuffle(wasm_i32x4_shuffle(x, y, 2, 5, 5, 5), z, 0, 1, 4, 7));
  }

  /// The low three bytes of each lane, one after the other. Writes four bytes beyond them.
  static void StoreTriples(Vector v, uint8_t* to) {
    const Vector zero = Splat(0);
    Store(to, wasm_i8x16_shuffle(v, zero, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 16, 16, 16));
  }

  /// Three bytes into the low part of each lane. Reads four bytes beyond them.
  static Vector LoadTriples(const uint8_t* from) {
    return wasm_i8x16_shuffle(Load(from), Splat(0), 0, 1, 2, 16, 3, 4, 5, 16, 6, 7, 8, 16, 9, 10, 11, 16);
  }

 private:
  /// Two phases, saturated and side by side.
  static Vector PairUp(Vector even, Vector odd) {
    const Vector packed = wasm_i16x8_narrow_i32x4(even, odd);
    return wasm_i16x8_shuffle(packed, packed, 0, 4, 1, 5, 2, 6, 3, 7);
  }
};

}  // namespace

const Kernels kSimd128Kernels = KernelsOf<Simd128>("simd128");

}  // namespace trunkline

#endif
