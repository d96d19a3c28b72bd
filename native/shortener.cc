#include "shortener.h"

#include <algorithm>
#include <cstring>

#include "period.h"

namespace trunkline {
namespace {

/// The shortest and the longest fade.
constexpr size_t kMinFade = 240;
constexpr size_t kMaxFade = 480;
static_assert(kMaxPeriod + kMinFade <= kMinShortened, "every period has room for a fade");

/// The period is sought in every sixth of the rate first.
constexpr size_t kCoarse = 6;

size_t FadeOf(size_t period, size_t count) { return std::min(count - period, kMaxFade); }

/// A piece and where its energy lies: the sum of the squares before each sample.
template <size_t kLongest>
struct Piece {
  int16_t samples[kLongest];
  int32_t energyBefore[kLongest + 1];

  void SumEnergy(size_t count) {
    energyBefore[0] = 0;
    for (size_t i = 0; i < count; ++i) energyBefore[i + 1] = energyBefore[i] + samples[i] * samples[i];
  }

  /// How alike the first `length` samples are to those `period` later.
  double LikenessAt(size_t period, size_t length) const {
    return Likeness(Product(samples, samples + period, length), energyBefore[length],
                    energyBefore[period + length] - energyBefore[period]);
  }
};

/// The best of the periods from `longest` down to `shortest`, the longest of several; `unit` is what one of them
/// counts.
template <class AnyPiece>
size_t BestPeriod(const AnyPiece& piece, size_t shortest, size_t longest, size_t count, size_t unit) {
  size_t best = longest;
  double bestLikeness = -2;
  for (size_t period = longest; period >= shortest; --period) {
    const double likeness = piece.LikenessAt(period, FadeOf(period * unit, count) / unit);
    if (likeness > bestLikeness) {
      bestLikeness = likeness;
      best = period;
    }
  }
  return best;
}

/// Fades from `pcm` into what lies `period` samples later.
void Fade(int16_t* pcm, size_t period, size_t length) {
  const int32_t step = (1 << 30) / static_cast<int32_t>(length);
  for (size_t i = 0; i < length; ++i) {
    const int32_t weight = static_cast<int32_t>(i) * step >> 15;
    const int32_t change = ((pcm[period + i] - pcm[i]) * weight + (1 << 14)) >> 15;
    pcm[i] = static_cast<int16_t>(pcm[i] + change);
  }
}

}  // namespace

size_t Shorten(int16_t* pcm, size_t count, size_t most) {
  most = std::min(most, kMaxPeriod);
  if (most < kMinPeriod) return count;

  // 2^20 times kMaxFade fits an int32, and so does the energy of all of a piece.
  Piece<kMaxShortened> fine;
  Scale(pcm, count, fine.samples);
  fine.SumEnergy(count);
  Piece<kMaxShortened / kCoarse> coarse;
  const size_t coarseCount = count / kCoarse;
  for (size_t i = 0; i < coarseCount; ++i) {
    int32_t sum = 0;
    for (size_t j = 0; j < kCoarse; ++j) sum += fine.samples[kCoarse * i + j];
    coarse.samples[i] = static_cast<int16_t>(sum >> 2);
  }
  coarse.SumEnergy(coarseCount);

  const size_t about =
      kCoarse * BestPeriod(coarse, kMinPeriod / kCoarse, most / kCoarse, coarseCount * kCoarse, kCoarse);
  const size_t shortest = std::max(about - (kCoarse - 1), kMinPeriod), longest = std::min(about + (kCoarse - 1), most);
  const size_t period = BestPeriod(fine, shortest, longest, count, 1);
  const size_t fade = FadeOf(period, count);
  Fade(pcm, period, fade);
  std::memmove(pcm + fade, pcm + period + fade, (count - period - fade) * sizeof(int16_t));
  return count - period;
}

}  // namespace trunkline
