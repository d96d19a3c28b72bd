// x86-64 with AVX-512 VNNI (Intel servers since 2019, AMD since Zen 4): vectors of 512 bits, and one instruction that
// multiplies and adds.

#if defined(__x86_64__) || defined(_M_X64)

// GCC 12 warns of undefined vectors in this header of its own (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
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

TRUNKLINE_BEGIN_INSTRUCTIONS("avx2,avx512f,avx512bw,avx512vl,avx512vnni")
#include "simd.h"

namespace trunkline {
namespace {

struct Avx512 {
  using Vector = __m512i;
  static constexpr int kLanes = 16;
  static constexpr int kDownVectors = 5;
  static constexpr size_t kSlackGroups = 2;

  template <class T>
  static void Hide(T*& pointer) {
    TRUNKLINE_HIDE(pointer);
  }

  static Vector Load(const void* from) { return _mm512_loadu_si512(from); }
  static void Store(void* to, Vector v) { _mm512_storeu_si512(to, v); }
  static Vector Splat(int32_t value) { return _mm512_set1_epi32(value); }
  static Vector Splat16(int16_t value) { return _mm512_set1_epi16(value); }
  static Vector Splat8(char value) { return _mm512_set1_epi8(value); }
  static Vector SplatPair(const int16_t* pair) {
    int32_t bits;
    std::memcpy(&bits, pair, sizeof(bits));
    return _mm512_set1_epi32(bits);
  }

  static Vector And(Vector a, Vector b) { return _mm512_and_si512(a, b); }
  static Vector AndNot(Vector mask, Vector v) { return _mm512_andnot_si512(mask, v); }
  static Vector Or(Vector a, Vector b) { return _mm512_or_si512(a, b); }
  static Vector Xor(Vector a, Vector b) { return _mm512_xor_si512(a, b); }

  static Vector Add(Vector a, Vector b) { return _mm512_add_epi32(a, b); }
  static Vector Subtract(Vector a, Vector b) { return _mm512_sub_epi32(a, b); }
  static Vector Quotient(float dividend, Vector v) {
    return _mm512_cvttps_epi32(_mm512_div_ps(_mm512_set1_ps(dividend), _mm512_cvtepi32_ps(v)));
  }
  static Vector ShiftRight32(Vector v, unsigned bits) { return _mm512_srai_epi32(v, bits); }
  static Vector ShiftRightZero32(Vector v, unsigned bits) { return _mm512_srli_epi32(v, bits); }
  static Vector ShiftLeft32(Vector v, unsigned bits) { return _mm512_slli_epi32(v, bits); }
  static Vector Multiply(Vector a, Vector b) {
    Vector products = _mm512_madd_epi16(a, b);
    TRUNKLINE_PIN(products);
    return products;
  }
  static Vector AddProducts(Vector sum, Vector a, Vector b) {
    sum = _mm512_dpwssd_epi32(sum, a, b);
    TRUNKLINE_PIN(sum);
    return sum;
  }
  static void AddProductsTo(Vector* sum, Vector a, Vector b) { *sum = AddProducts(*sum, a, b); }

  static Vector Add16(Vector a, Vector b) { return _mm512_add_epi16(a, b); }
  static Vector Subtract16(Vector a, Vector b) { return _mm512_sub_epi16(a, b); }
  static Vector ShiftLeft16(Vector v, unsigned bits) { return _mm512_slli_epi16(v, bits); }
  static Vector ShiftRight16(Vector v, unsigned bits) { return _mm512_srai_epi16(v, bits); }
  static Vector Greater16(Vector a, Vector b) { return _mm512_movm_epi16(_mm512_cmpgt_epi16_mask(a, b)); }
  static Vector Smaller16(Vector a, Vector b) { return _mm512_min_epi16(a, b); }

  static Vector Add8(Vector a, Vector b) { return _mm512_add_epi8(a, b); }
  static Vector Greater8(Vector a, Vector b) { return _mm512_movm_epi8(_mm512_cmpgt_epi8_mask(a, b)); }
  static Vector Equal8(Vector a, Vector b) { return _mm512_movm_epi8(_mm512_cmpeq_epi8_mask(a, b)); }
  static bool AllOnes(Vector v) { return _mm512_movepi8_mask(v) == ~__mmask64{0}; }

  static Vector Widen(const int16_t* from) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static Vector WidenBytes(const uint8_t* from) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static void StoreNarrow(Vector v, int16_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtsepi32_epi16(v));
  }
  static void StoreNarrowBytes(Vector v, uint8_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi16_epi8(v));
  }

  /// Each of 32 samples with its successor, as 32 pairs.
  static void StorePairs(const int16_t* samples, int32_t* pairs) {
    for (int half = 0; half < 32; half += 16) {
      const Vector own = Extend(samples + half), next = Extend(samples + half + 1);
      Store(pairs + half, Or(own, ShiftLeft32(next, 16)));
    }
  }

  /// Outputs of six phases, saturated, in the order of time.
  static void StorePhases(Vector y0, Vector y1, Vector y2, Vector y3, Vector y4, Vector y5, int16_t* out) {
    // Three vectors of pairs, whose lanes go out as a b c a b c ...
    const Vector a = PairUp(y0, y1), b = PairUp(y2, y3), c = PairUp(y4, y5);
    // Lane i of output m is lane n / 3 of vector n % 3, with n = 16m + i: first a and b, then c in between.
    const Vector ab0 = _mm512_setr_epi32(0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
    const Vector ab1 = _mm512_setr_epi32(21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
    const Vector ab2 = _mm512_setr_epi32(0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
    const Vector c0 = _mm512_setr_epi32(0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0);
    const Vector c1 = _mm512_setr_epi32(0, 5, 0, 0, 6, 0, 0, 7, 0, 0, 8, 0, 0, 9, 0, 0);
    const Vector c2 = _mm512_setr_epi32(10, 0, 0, 11, 0, 0, 12, 0, 0, 13, 0, 0, 14, 0, 0, 15);
    Store(out, _mm512_mask_permutexvar_epi32(_mm512_permutex2var_epi32(a, ab0, b), 0x4924, c0, c));
    Store(out + 32, _mm512_mask_permutexvar_epi32(_mm512_permutex2var_epi32(a, ab1, b), 0x2492, c1, c));
    Store(out + 64, _mm512_mask_permutexvar_epi32(_mm512_permutex2var_epi32(a, ab2, b), 0x9249, c2, c));
  }

  /// 48 pairs of samples, dealt to three lane pairs in turn.
  static void SplitPairs(const int16_t* in, int32_t* pair0, int32_t* pair1, int32_t* pair2) {
    const Vector x = Load(in), y = Load(in + 32), z = Load(in + 64);
    // Lane i of pair j is number 3i + j: up to 31 from x and y, the rest from z.
    const Vector xy0 = _mm512_setr_epi32(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
    const Vector xy1 = _mm512_setr_epi32(1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
    const Vector xy2 = _mm512_setr_epi32(2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
    const Vector z0 = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 7, 10, 13);
    const Vector z1 = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 5, 8, 11, 14);
    const Vector z2 = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 6, 9, 12, 15);
    Store(pair0, _mm512_mask_permutexvar_epi32(_mm512_permutex2var_epi32(x, xy0, y), 0xF800, z0, z));
    Store(pair1, _mm512_mask_permutexvar_epi32(_mm512_permutex2var_epi32(x, xy1, y), 0xF800, z1, z));
    const Vector z3 = _mm512_mask_permutexvar_epi32(_mm512_permutex2var_epi32(x, xy2, y), 0xF800, z2, z);
    Store(pair2, _mm512_mask_permutexvar_epi32(z3, 0x0400, Splat(0), z));
  }

  /// The low three bytes of each lane, one after the other. Writes four bytes beyond them.
  static void StoreTriples(Vector v, uint8_t* to) {
    const __m128i order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const Vector packed = _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(order));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_castsi512_si128(packed));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 12), _mm512_extracti32x4_epi32(packed, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 24), _mm512_extracti32x4_epi32(packed, 2));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 36), _mm512_extracti32x4_epi32(packed, 3));
  }

  /// Three bytes into the low part of each lane. Reads four bytes beyond them.
  static Vector LoadTriples(const uint8_t* from) {
    const auto* part = reinterpret_cast<const char*>(from);
    Vector bytes = _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(part)));
    bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(part + 12)), 1);
    bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(part + 24)), 2);
    bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(part + 36)), 3);
    const __m128i order = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    return _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(order));
  }

 private:
  /// 16 samples into the low halves of the lanes.
  static Vector Extend(const int16_t* from) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }

  /// Two phases, saturated and side by side.
  static Vector PairUp(Vector even, Vector odd) {
    // Packing leaves four of one and four of the other in each 128 bits.
    const __m128i order = _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    return _mm512_shuffle_epi8(_mm512_packs_epi32(even, odd), _mm512_broadcast_i32x4(order));
  }
};

}  // namespace

const Kernels kAvx512Kernels = KernelsOf<Avx512>("avx512");

}  // namespace trunkline

TRUNKLINE_END_INSTRUCTIONS

#endif
