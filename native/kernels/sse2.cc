// x86-64 as every one of them has it: SSE2, vectors of 128 bits.

#if defined(__x86_64__) || defined(_M_X64)

#include <emmintrin.h>

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

struct Sse2 {
  using Vector = __m128i;
  static constexpr int kLanes = 4;
  static constexpr int kDownVectors = 5;
  static constexpr size_t kSlackGroups = 2;

  template <class T>
  static void Hide(T*& pointer) {
    TRUNKLINE_HIDE(pointer);
  }

  static Vector Load(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
  static void Store(void* to, Vector v) { _mm_storeu_si128(static_cast<__m128i*>(to), v); }
  static Vector Splat(int32_t value) { return _mm_set1_epi32(value); }
  static Vector Splat16(int16_t value) { return _mm_set1_epi16(value); }
  static Vector Splat8(char value) { return _mm_set1_epi8(value); }
  static Vector SplatPair(const int16_t* pair) {
    int32_t bits;
    std::memcpy(&bits, pair, sizeof(bits));
    return _mm_set1_epi32(bits);
  }

  static Vector And(Vector a, Vector b) { return _mm_and_si128(a, b); }
  static Vector AndNot(Vector mask, Vector v) { return _mm_andnot_si128(mask, v); }
  static Vector Or(Vector a, Vector b) { return _mm_or_si128(a, b); }
  static Vector Xor(Vector a, Vector b) { return _mm_xor_si128(a, b); }

  static Vector Add(Vector a, Vector b) { return _mm_add_epi32(a, b); }
  static Vector Subtract(Vector a, Vector b) { return _mm_sub_epi32(a, b); }
  static Vector Quotient(float dividend, Vector v) {
    return _mm_cvttps_epi32(_mm_div_ps(_mm_set1_ps(dividend), _mm_cvtepi32_ps(v)));
  }
  static Vector ShiftRight32(Vector v, int bits) { return _mm_srai_epi32(v, bits); }
  static Vector ShiftRightZero32(Vector v, int bits) { return _mm_srli_epi32(v, bits); }
  static Vector ShiftLeft32(Vector v, int bits) { return _mm_slli_epi32(v, bits); }
  static Vector Multiply(Vector a, Vector b) {
    Vector products = _mm_madd_epi16(a, b);
    TRUNKLINE_PIN(products);
    return products;
  }
  static Vector AddProducts(Vector sum, Vector a, Vector b) {
    sum = _mm_add_epi32(sum, _mm_madd_epi16(a, b));
    TRUNKLINE_PIN(sum);
    return sum;
  }
  static void AddProductsTo(Vector* sum, Vector a, Vector b) { *sum = AddProducts(*sum, a, b); }

  static Vector Add16(Vector a, Vector b) { return _mm_add_epi16(a, b); }
  static Vector Subtract16(Vector a, Vector b) { return _mm_sub_epi16(a, b); }
  static Vector ShiftLeft16(Vector v, int bits) { return _mm_slli_epi16(v, bits); }
  static Vector ShiftRight16(Vector v, int bits) { return _mm_srai_epi16(v, bits); }
  static Vector Greater16(Vector a, Vector b) { return _mm_cmpgt_epi16(a, b); }
  static Vector Smaller16(Vector a, Vector b) { return _mm_min_epi16(a, b); }

  static Vector Add8(Vector a, Vector b) { return _mm_add_epi8(a, b); }
  static Vector Greater8(Vector a, Vector b) { return _mm_cmpgt_epi8(a, b); }
  static Vector Equal8(Vector a, Vector b) { return _mm_cmpeq_epi8(a, b); }
  static bool AllOnes(Vector v) { return _mm_movemask_epi8(v) == 0xFFFF; }

  static Vector Widen(const int16_t* from) {
    const Vector half = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm_srai_epi32(_mm_unpacklo_epi16(half, half), 16);
  }
  static Vector WidenBytes(const uint8_t* from) {
    return _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)), _mm_setzero_si128());
  }
  static void StoreNarrow(Vector v, int16_t* to) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi32(v, v));
  }
  static void StoreNarrowBytes(Vector v, uint8_t* to) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(v, v));
  }

  /// Each of 8 samples with its successor, as 8 pairs.
  static void StorePairs(const int16_t* samples, int32_t* pairs) {
    const Vector own = Load(samples), next = Load(samples + 1);
    Store(pairs, _mm_unpacklo_epi16(own, next));
    Store(pairs + 4, _mm_unpackhi_epi16(own, next));
  }

  /// Outputs of six phases, saturated, in the order of time.
  static void StorePhases(Vector y0, Vector y1, Vector y2, Vector y3, Vector y4, Vector y5, int16_t* out) {
    // Three vectors of pairs, whose lanes go out as a0 b0 c0 a1 | b1 c1 a2 b2 | c2 a3 b3 c3.
    const Vector a = PairUp(y0, y1), b = PairUp(y2, y3), c = PairUp(y4, y5);
    const Vector ab = _mm_unpacklo_epi32(a, b);      // a0 b0 a1 b1
    const Vector ca = Shuffle<0, 0, 1, 1>(c, a);     // c0 c0 a1 a1
    const Vector bc = _mm_unpacklo_epi32(b, c);      // b0 c0 b1 c1
    const Vector abHigh = _mm_unpackhi_epi32(a, b);  // a2 b2 a3 b3
    const Vector ca3 = Shuffle<2, 2, 3, 3>(c, a);    // c2 c2 a3 a3
    const Vector bc3 = Shuffle<3, 3, 3, 3>(b, c);    // b3 b3 c3 c3
    Store(out, Shuffle<0, 1, 0, 2>(ab, ca));
    Store(out + 8, Shuffle<2, 3, 0, 1>(bc, abHigh));
    Store(out + 16, Shuffle<0, 2, 0, 2>(ca3, bc3));
  }

  /// 12 pairs of samples, dealt to three lane pairs in turn.
  static void SplitPairs(const int16_t* in, int32_t* pair0, int32_t* pair1, int32_t* pair2) {
    const Vector x = Load(in), y = Load(in + 8), z = Load(in + 16);
    Store(pair0, Shuffle<0, 3, 0, 2>(x, Shuffle<2, 2, 1, 1>(y, z)));                          // 0 3 | 6 9
    Store(pair1, Shuffle<0, 2, 0, 2>(Shuffle<1, 1, 0, 0>(x, y), Shuffle<3, 3, 2, 2>(y, z)));  // 1 4 | 7 10
    Store(pair2, Shuffle<0, 2, 0, 2>(Shuffle<2, 2, 1, 1>(x, y), Shuffle<0, 0, 3, 3>(z, z)));  // 2 5 | 8 11
  }

  /// The low three bytes of each lane, one after the other. Writes two bytes beyond them.
  static void StoreTriples(Vector v, uint8_t* to) {
    const Vector even = _mm_and_si128(v, _mm_set1_epi64x(0xFFFFFF));
    const Vector odd = _mm_and_si128(_mm_srli_epi64(v, 8), _mm_set1_epi64x(0xFFFFFF000000));
    const Vector six = _mm_or_si128(even, odd);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), six);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to + 6), _mm_unpackhi_epi64(six, six));
  }

  /// Three bytes into the low part of each lane. Reads two bytes beyond them.
  static Vector LoadTriples(const uint8_t* from) {
    const Vector six = _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)),
                                          _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + 6)));
    const Vector even = _mm_and_si128(six, _mm_set1_epi64x(0xFFFFFF));
    const Vector odd = _mm_and_si128(_mm_slli_epi64(six, 8), _mm_set1_epi64x(0xFFFFFF00000000));
    return _mm_or_si128(even, odd);
  }

 private:
  /// Two lanes of a, then two of b.
  template <int l0, int l1, int l2, int l3>
  static Vector Shuffle(Vector a, Vector b) {
    return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), _MM_SHUFFLE(l3, l2, l1, l0)));
  }

  /// Two phases, saturated and side by side.
  static Vector PairUp(Vector even, Vector odd) {
    const Vector packed = _mm_packs_epi32(even, odd);
    return _mm_unpacklo_epi16(packed, _mm_unpackhi_epi64(packed, packed));
  }
};

}  // namespace

const Kernels kSse2Kernels = KernelsOf<Sse2>("sse2");

}  // namespace trunkline

#endif
