#include "concealer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "period.h"
#include "saturate.h"

namespace trunkline {
namespace {

/// Of voices, 2.5 to 15 ms.
constexpr size_t kMinPeriod = 20;
constexpr size_t kMaxPeriod = 120;

/// The voice is repeated as loud as it was for 10 ms, and is gone after 60.
constexpr int kFadeBegin = 80;
constexpr int kFadeEnd = 480;

/// Over so many samples a repetition leaves the sample it joins on to.
constexpr int kJoin = 8;

/// What follows a long hole, or one already heard, fades in over so many.
constexpr size_t kLongFade = 80;
constexpr size_t kMerge = 32;

/// Of audio that comes after a hole no more is looked at.
constexpr size_t kMostAhead = 160;

/// The line's loudness is that of the end of a frame, in eighths of a sample: the sum of 64 squares fits, and is the mean
/// square of whole ones.
constexpr size_t kMeasured = 64;
constexpr int kMeasuredShift = 3;

/// -45 dBFS.
constexpr uint32_t kLoudestNoise = 184 * 184;

static_assert(2 * kMaxPeriod >= kMostAhead);

/// 1 in Q15, which is how shares are counted.
constexpr int kOne = 1 << 15;

/// The filter drops the lower two bits: half of what they count makes that a rounding.
constexpr int kRounding = 2;

struct Voice {
  size_t period;
  int loudness;  // of its repetition, Q15
};

/// Finds after how many samples the end of `pcm` is most like what came before it. `count` is 2 * kMinPeriod to
/// 2 * kMaxPeriod; of few samples less is compared, for a deep voice has its period in them too.
Voice FindVoice(const int16_t* pcm, size_t count) {
  int16_t scaled[2 * kMaxPeriod];
  Scale(pcm, count, scaled);
  const size_t longest = std::min(kMaxPeriod, count * 3 / 4), compared = count - longest;
  const int16_t* const newest = scaled + longest;
  const int32_t energy = Product(newest, newest, compared);
  double best = -2;
  size_t period = kMinPeriod;
  for (size_t candidate = kMinPeriod; candidate <= longest; ++candidate) {
    const int16_t* const before = newest - candidate;
    const double likeness = Likeness(Product(newest, before, compared), energy, Product(before, before, compared));
    if (likeness <= best) continue;
    best = likeness;
    period = candidate;
  }
  // What hardly repeats itself is no voice: as loud as it was, its repetition would be a buzz.
  return {period, static_cast<int>(kOne * std::sqrt(std::max(best, 0.25)))};
}

/// Writes `count` samples at `pcm + length` that repeat the `period` samples before them. The first ones bend from where
/// the sound was to where it was a period ago; `first` of them are there already.
void Repeat(int16_t* pcm, size_t length, size_t period, size_t count, int first) {
  int16_t* const out = pcm + length;
  const int step = first == 0 ? out[-1] - out[-1 - static_cast<ptrdiff_t>(period)] : 0;
  for (size_t i = 0; i < count; ++i) {
    const int bend = static_cast<int>(i) < kJoin ? step * (kJoin - static_cast<int>(i)) / kJoin : 0;
    out[i] = Saturate(out[static_cast<ptrdiff_t>(i) - static_cast<ptrdiff_t>(period)] + bend);
  }
}

int Share(int sample, int share) { return sample * share >> 15; }

}  // namespace

void Concealer::Push(const int16_t* pcm, size_t count) {
  if (count >= kHistory) {
    std::memcpy(history_, pcm + count - kHistory, sizeof(history_));
    return;
  }
  std::memmove(history_, history_ + count, (kHistory - count) * sizeof(int16_t));
  std::memcpy(history_ + kHistory - count, pcm, count * sizeof(int16_t));
}

void Concealer::Remember(const int16_t* pcm, size_t count) {
  Push(pcm, count);
  if (count > 0) elapsed_ = 0;
  if (count < kMeasured) return;
  uint32_t energy = 0;
  for (const int16_t* sample = pcm + count - kMeasured; sample < pcm + count; ++sample) {
    const int eighths = *sample >> kMeasuredShift;
    energy += static_cast<uint32_t>(eighths * eighths);
  }
  // What is quieter counts at once, and for seconds.
  const uint32_t known = quietest_ == kUnknown ? energy : quietest_ + (quietest_ >> 5) + 8;
  quietest_ = std::min(energy, known);
}

int Concealer::Noise(int amplitude) {
  random_ = random_ * 1664525 + 1013904223;
  return (static_cast<int>(random_ >> 16) - kOne) * amplitude >> 15;
}

void Concealer::Fill(int16_t* pcm, size_t count) {
  if (elapsed_ == 0) {
    const Voice voice = FindVoice(history_, kHistory);
    period_ = static_cast<uint8_t>(voice.period);
    loudness_ = static_cast<uint16_t>(std::min(voice.loudness, kOne));
  }
  // Evenly spread numbers have a third of the square of the largest.
  const uint32_t power = quietest_ == kUnknown ? 0 : std::min(quietest_, kLoudestNoise);
  const int amplitude = static_cast<int>(std::sqrt(3.0 * power));

  const size_t repeated = std::min<size_t>(count, kFadeEnd - elapsed_);
  if (repeated > 0) {
    int16_t sound[kHistory + kFadeEnd];
    std::memcpy(sound, history_, sizeof(history_));
    Repeat(sound, kHistory, period_, repeated, elapsed_);
    std::memcpy(history_, sound + repeated, sizeof(history_));
    for (size_t i = 0; i < repeated; ++i, ++elapsed_) {
      const int left = elapsed_ < kFadeBegin ? kOne : (kFadeEnd - elapsed_) * kOne / (kFadeEnd - kFadeBegin);
      const int voice = Share(Share(sound[kHistory + i], loudness_), left);
      *pcm++ = Saturate(voice + Share(Noise(amplitude), kOne - left) + kRounding);
    }
    // What comes later repeats nothing of it.
    if (elapsed_ == kFadeEnd) std::memset(history_, 0, sizeof(history_));
  }
  for (size_t i = repeated; i < count; ++i) *pcm++ = Saturate(Noise(amplitude) + kRounding);
}

void Concealer::Forget() {
  std::memset(history_, 0, sizeof(history_));
  elapsed_ = kFadeEnd;
}

void Concealer::Approach(int16_t* pcm, size_t count, const int16_t* next, size_t nextCount) {
  const size_t ahead = std::min(nextCount, kMostAhead);
  if (ahead < 2 * kMinPeriod) return;
  const size_t fade = count < kFadeEnd ? count : kLongFade;
  // Backwards what comes next is what was heard last.
  int16_t sound[kMostAhead + kFadeEnd];
  std::reverse_copy(next, next + ahead, sound);
  const Voice voice = FindVoice(sound, ahead);
  Repeat(sound, ahead, voice.period, fade, 0);
  int16_t* const end = pcm + count;
  for (size_t i = 0; i < fade; ++i) {
    const int share = static_cast<int>((fade - i) * kOne / (fade + 1));
    int16_t& sample = end[-1 - static_cast<ptrdiff_t>(i)];
    const int coming = Share(Share(sound[ahead + i], voice.loudness), share);
    sample = Saturate(Share(sample, kOne - share) + coming + kRounding);
  }
  Push(pcm, count);
  elapsed_ = 0;
}

void Concealer::Merge(int16_t* pcm, size_t count) {
  const size_t fade = std::min(count, kMerge);
  int16_t gone[kMerge];
  Fill(gone, fade);
  for (size_t i = 0; i < fade; ++i) {
    const int share = static_cast<int>((i + 1) * kOne / (fade + 1));
    pcm[i] = static_cast<int16_t>(Share(gone[i], kOne - share) + Share(pcm[i], share));
  }
}

}  // namespace trunkline
