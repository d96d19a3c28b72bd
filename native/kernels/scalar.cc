// The reference: plain C++ that says what every other file of this folder must give.

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "../base64.h"
#include "../g711.h"
#include "../limit.h"
#include "../saturate.h"
#include "kernels.h"
#include "plan.h"

namespace trunkline {
namespace {

// ---- Products summed over a block of outputs ----

/// One tap and the samples it meets: samples[k] belongs to output k.
struct Term {
  const int16_t* samples;
  int16_t tap;
};

// The inner loop runs over outputs, not over taps: compilers turn that into SIMD for any instruction set.
template <size_t... kTerm>
void AddTerms(const Term* terms, int count, int32_t* sums, std::index_sequence<kTerm...>) {
  const int16_t* const samples[] = {terms[kTerm].samples...};
  const int16_t taps[] = {terms[kTerm].tap...};
  for (int k = 0; k < count; ++k) sums[k] += ((samples[kTerm][k] * taps[kTerm]) + ...);
}

/// sums[k] += samples[k] * tap over all terms. `termCount` is even.
void AddProducts(const Term* terms, int termCount, int count, int32_t* sums) {
  for (; termCount >= 4; termCount -= 4, terms += 4) AddTerms(terms, count, sums, std::make_index_sequence<4>());
  if (termCount > 0) AddTerms(terms, count, sums, std::make_index_sequence<2>());
}

// ---- x6 ----

void Upsample(const int16_t* in, int count, UpHistory* history, int16_t* out) {
  int16_t window[kHistory + kBlock];
  std::copy_n(history->samples, kHistory, window);
  for (int k = 0; k < count; ++k) window[kHistory + k] = static_cast<int16_t>(in[k] >> (16 - kUpInputBits));

  for (int phase = 0; phase < kRatio; ++phase) {
    int32_t sums[kBlock] = {};
    for (int g = static_cast<int>(std::size(kUpGroups)) - 1; g >= 0; --g) {
      const RowGroup& group = kUpGroups[g];
      Term terms[kTapRows];
      int termCount = 0;
      for (int row = group.firstRow; row < group.endRow; ++row)
        terms[termCount++] = {window + kHistory - row, kUpTaps[row][phase]};
      AddProducts(terms, termCount, count, sums);
      const int32_t rounding = g == 0 ? kUpRounding : 0;
      const int shift = UpShift(g);
      for (int k = 0; k < count; ++k) sums[k] = (sums[k] + rounding) >> shift;
    }
    for (int k = 0; k < count; ++k) out[kRatio * k + phase] = Saturate(sums[k]);
  }
  std::copy_n(window + count, kHistory, history->samples);
}

// ---- /6 ----

void Downsample(const int16_t* in, int count, DownHistory* history, int16_t* out) {
  int16_t window[kRatio][kHistory + kBlock];
  for (int lane = 0; lane < kRatio; ++lane) {
    const int16_t* past = history->pairs[lane / 2] + lane % 2;
    for (int k = 0; k < kHistory; ++k) window[lane][k] = past[2 * k];
    for (int k = 0; k < count; ++k) window[lane][kHistory + k] = in[kRatio * k + lane];
  }

  int32_t total[kBlock];
  std::fill_n(total, count, kDownRounding);
  for (int pair = 0; pair < kLanePairs; ++pair) {
    for (const PartialSum& part : kPartialSums) {
      Term terms[2 * kTapRows];
      int termCount = 0;
      for (int row = part.firstRow; row < part.endRow; ++row) {
        if (!part.Has(row)) continue;
        for (int lane = 2 * pair; lane < 2 * pair + 2; ++lane)
          terms[termCount++] = {window[lane] + kHistory - row, DownTap(row, lane)};
      }
      int32_t sums[kBlock] = {};
      AddProducts(terms, termCount, count, sums);
      const int shift = part.scale - kTotalScale;
      for (int k = 0; k < count; ++k) total[k] += sums[k] >> shift;
    }
  }

  for (int k = 0; k < count; ++k) out[k] = Saturate(total[k] >> kTotalScale);
  for (int lane = 0; lane < kRatio; ++lane) {
    int16_t* past = history->pairs[lane / 2] + lane % 2;
    for (int k = 0; k < kHistory; ++k) past[2 * k] = window[lane][count + k];
  }
}

// ---- G.711 ----

void DecodeMulaw(const uint8_t* bytes, size_t count, int16_t* pcm) {
  for (size_t i = 0; i < count; ++i) pcm[i] = kMulawToLinear[bytes[i]];
}

void EncodeMulaw(const int16_t* pcm, size_t count, uint8_t* bytes) {
  for (size_t i = 0; i < count; ++i) bytes[i] = kLinearToMulaw[static_cast<uint16_t>(pcm[i]) >> 2];
}

// ---- Base64 ----

bool DecodeGroups(const uint8_t* text, size_t groups, uint8_t* bytes) {
  uint32_t seen = 0;
  for (; groups > 0; --groups, text += 4, bytes += 3) {
    const uint32_t a = kBase64Values[text[0]], b = kBase64Values[text[1]], c = kBase64Values[text[2]],
                   d = kBase64Values[text[3]];
    seen |= a | b | c | d;
    bytes[0] = static_cast<uint8_t>(a << 2 | b >> 4);
    bytes[1] = static_cast<uint8_t>(b << 4 | c >> 2);
    bytes[2] = static_cast<uint8_t>(c << 6 | d);
  }
  return (seen & kBase64InvalidBits) == 0;
}

void EncodeGroups(const uint8_t* bytes, size_t groups, char* text) {
  for (; groups > 0; --groups, bytes += 3) {
    const uint32_t group = uint32_t{bytes[0]} << 16 | uint32_t{bytes[1]} << 8 | bytes[2];
    *text++ = kBase64Alphabet[group >> 18];
    *text++ = kBase64Alphabet[group >> 12 & 63];
    *text++ = kBase64Alphabet[group >> 6 & 63];
    *text++ = kBase64Alphabet[group & 63];
  }
}

// ---- Mixing ----

void Add(const int16_t* samples, size_t count, int32_t* total) {
  for (size_t i = 0; i < count; ++i) total[i] += samples[i];
}

void Subtract(const int32_t* total, const int16_t* own, size_t count, int16_t* out) {
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<int16_t>(total[i] - own[i]);
}

void Narrow(const int32_t* total, size_t count, int16_t* out) {
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<int16_t>(total[i]);
}

void SubtractLimited(const int32_t* total, const int16_t* own, size_t count, int16_t* out) {
  for (size_t i = 0; i < count; ++i) out[i] = Limit(total[i] - own[i]);
}

void LimitAll(const int32_t* total, size_t count, int16_t* out) {
  for (size_t i = 0; i < count; ++i) out[i] = Limit(total[i]);
}

}  // namespace

const Kernels kScalarKernels = {
    "scalar",     Upsample, Downsample, DecodeMulaw, EncodeMulaw,     DecodeGroups,
    EncodeGroups, Add,      Subtract,   Narrow,      SubtractLimited, LimitAll,
};

}  // namespace trunkline
