// x86-64 with AVX2 (Intel since 2013, AMD since 2015): vectors of 256 bits.

#if defined(__x86_64__) || defined(_M_X64)

#include <immintrin.h>

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

TRUNKLINE_BEGIN_INSTRUCTIONS("avx2")
#include "simd.h"

namespace trunkline {
namespace {

struct Avx2 {
  using Vector = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kDownVectors = 4;
  static constexpr size_t kSlackGroups = 2;

  template <class T>
  static void Hide(T*& pointer) {
    TRUNKLINE_HIDE(pointer);
  }

  static Vector Load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  static void Store(void* to, Vector v) { _mm256_storeu_si256(static_cast<__m256i*>(to), v); }
  static Vector Splat(int32_t value) { return _mm256_set1_epi32(value); }
  static Vector Splat16(int16_t value) { return _mm256_set1_epi16(value); }
  static Vector Splat8(char value) { return _mm256_set1_epi8(value); }
  static Vector SplatPair(const int16_t* pair) {
    int32_t bits;
    std::memcpy(&bits, pair, sizeof(bits));
    return _mm256_set1_epi32(bits);
  }

  static Vector And(Vector a, Vector b) { return _mm256_and_si256(a, b); }
  static Vector AndNot(Vector mask, Vector v) { return _mm256_andnot_si256(mask, v); }
  static Vector Or(Vector a, Vector b) { return _mm256_or_si256(a, b); }
  static Vector Xor(Vector a, Vector b) { return _mm256_xor_si256(a, b); }

  static Vector Add(Vector a, Vector b) { return _mm256_add_epi32(a, b); }
  static Vector Subtract(Vector a, Vector b) { return _mm256_sub_epi32(a, b); }
  static Vector Quotient(float dividend, Vector v) {
    return _mm256_cvttps_epi32(_mm256_div_ps(_mm256_set1_ps(dividend), _mm256_cvtepi32_ps(v)));
  }
  static Vector ShiftRight32(Vector v, int bits) { return _mm256_srai_epi32(v, bits); }
  static Vector ShiftRightZero32(Vector v, int bits) { return _mm256_srli_epi32(v, bits); }
  static Vector ShiftLeft32(Vector v, int bits) { return _mm256_slli_epi32(v, bits); }
  static Vector Multiply(Vector a, Vector b) {
    Vector products = _mm256_madd_epi16(a, b);
    TRUNKLINE_PIN(products);
    return products;
  }
  static Vector AddProducts(Vector sum, Vector a, Vector b) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
    TRUNKLINE_PIN(sum);
    return sum;
  }
  static void AddProductsTo(Vector* sum, Vector a, Vector b) {
    const Vector products = _mm256_madd_epi16(a, b);
#if defined(__GNUC__)
    // From an intrinsic, GCC adds into another register and copies it back: 14 % of the instructions of x6.
    __asm__("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(products));
#else
    *sum = Add(*sum, products);
#endif
  }

  static Vector Add16(Vector a, Vector b) { return _mm256_add_epi16(a, b); }
  static Vector Subtract16(Vector a, Vector b) { return _mm256_sub_epi16(a, b); }
  static Vector ShiftLeft16(Vector v, int bits) { return _mm256_slli_epi16(v, bits); }
  static Vector ShiftRight16(Vector v, int bits) { return _mm256_srai_epi16(v, bits); }
  static Vector Greater16(Vector a, Vector b) { return _mm256_cmpgt_epi16(a, b); }
  static Vector Smaller16(Vector a, Vector b) { return _mm256_min_epi16(a, b); }

  static Vector Add8(Vector a, Vector b) { return _mm256_add_epi8(a, b); }
  static Vector Greater8(Vector a, Vector b) { return _mm256_cmpgt_epi8(a, b); }
  static Vector Equal8(Vector a, Vector b) { return _mm256_cmpeq_epi8(a, b); }
  static bool AllOnes(Vector v) { return _mm256_movemask_epi8(v) == -1; }

  static Vector Widen(const int16_t* from) {
    return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Vector WidenBytes(const uint8_t* from) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static void StoreNarrow(Vector v, int16_t* to) {
    const __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), narrow);
  }
  static void StoreNarrowBytes(Vector v, uint8_t* to) {
    const __m128i narrow = _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), narrow);
  }

  /// Each of 16 samples with its successor, as 16 pairs.
  static void StorePairs(const int16_t* samples, int32_t* pairs) {
    // Unpacking works within halves of 128 bits: they are crossed beforehand.
    const Vector own = _mm256_permute4x64_epi64(Load(samples), 0b11'01'10'00);
    const Vector next = _mm256_permute4x64_epi64(Load(samples + 1), 0b11'01'10'00);
    Store(pairs, _mm256_unpacklo_epi16(own, next));
    Store(pairs + 8, _mm256_unpackhi_epi16(own, next));
  }

  /// Two phases, saturated and side by side, the lanes of each half in the order l0 to l3.
  template <int l0, int l1, int l2, int l3>
  static Vector PairUp(Vector even, Vector odd) {
    constexpr auto kLane = [](int l) { return (2 * l) | (2 * l + 1) << 8 | (8 + 2 * l) << 16 | (9 + 2 * l) << 24; };
    const Vector order =
        _mm256_setr_epi32(kLane(l0), kLane(l1), kLane(l2), kLane(l3), kLane(l0), kLane(l1), kLane(l2), kLane(l3));
    return _mm256_shuffle_epi8(_mm256_packs_epi32(even, odd), order);
  }

  /// Outputs of six phases, saturated, in the order of time.
  static void StorePhases(Vector y0, Vector y1, Vector y2, Vector y3, Vector y4, Vector y5, int16_t* out) {
    // Three vectors of pairs: a holds (y0, y1), b (y2, y3), c (y4, y5); their 32-bit lanes go out as a b c a b c ...
    // A shuffle puts the lanes of each half where the blends below want them.
    const Vector a = PairUp<0, 3, 2, 1>(y0, y1), b = PairUp<1, 0, 3, 2>(y2, y3), c = PairUp<2, 1, 0, 3>(y4, y5);
    // In each half: a0 b0 c0 a1 | b1 c1 a2 b2 | c2 a3 b3 c3.
    const Vector first = _mm256_blend_epi32(_mm256_blend_epi32(a, b, 0x22), c, 0x44);
    const Vector second = _mm256_blend_epi32(_mm256_blend_epi32(b, c, 0x22), a, 0x44);
    const Vector third = _mm256_blend_epi32(_mm256_blend_epi32(c, a, 0x22), b, 0x44);
    Store(out, _mm256_permute2x128_si256(first, second, 0x20));
    Store(out + 16, _mm256_permute2x128_si256(third, first, 0x30));
    Store(out + 32, _mm256_permute2x128_si256(second, third, 0x31));
  }

  /// Lanes 0, 3 and 6 of u, 1, 4 and 7 of v, 2 and 5 of w, in the given order.
  static Vector Deal(Vector u, Vector v, Vector w, Vector order) {
    return _mm256_permutevar8x32_epi32(_mm256_blend_epi32(_mm256_blend_epi32(u, v, 0x92), w, 0x24), order);
  }

  /// 24 pairs of samples, dealt to three lane pairs in turn.
  static void SplitPairs(const int16_t* in, int32_t* pair0, int32_t* pair1, int32_t* pair2) {
    const Vector x = Load(in), y = Load(in + 16), z = Load(in + 32);
    // Lane i of pair j is number 3i + j of the 24, that is lane (3i + j) % 8 of one of the three.
    Store(pair0, Deal(x, y, z, _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5)));
    Store(pair1, Deal(z, x, y, _mm256_setr_epi32(1, 4, 7, 2, 5, 0, 3, 6)));
    Store(pair2, Deal(y, z, x, _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7)));
  }

  /// The low three bytes of each lane, one after the other. Writes four bytes beyond them.
  static void StoreTriples(Vector v, uint8_t* to) {
    const Vector order = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, 0, 1, 2, 4, 5, 6, 8,
                                          9, 10, 12, 13, 14, -1, -1, -1, -1);
    const Vector packed = _mm256_shuffle_epi8(v, order);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 12), _mm256_extracti128_si256(packed, 1));
  }

  /// Three bytes into the low part of each lane. Reads four bytes beyond them.
  static Vector LoadTriples(const uint8_t* from) {
    const Vector bytes =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))),
                                _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 12)), 1);
    const Vector order = _mm256_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, 0, 1, 2, -1, 3, 4, 5,
                                          -1, 6, 7, 8, -1, 9, 10, 11, -1);
    return _mm256_shuffle_epi8(bytes, order);
  }
};

}  // namespace

const Kernels kAvx2Kernels = KernelsOf<Avx2>("avx2");

}  // namespace trunkline

TRUNKLINE_END_INSTRUCTIONS

#endif
