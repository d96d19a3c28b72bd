#include "concealer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "g711.h"
#include "period.h"
#include "saturate.h"

namespace trunkline {
namespace {

/// Periods of voices, 2.5 to 15 ms.
constexpr size_t kMinPeriod = 20;
constexpr size_t kMaxPeriod = 120;

/// The repeated voice keeps its loudness for 10 ms and is gone after 60.
constexpr int kFadeBegin = 80;
constexpr int kFadeEnd = 480;

/// Over so many samples a repetition leaves the sample it joins on to.
constexpr size_t kJoin = 8;

/// What follows a long hole, or one already heard, fades in over so many.
constexpr size_t kLongFade = 80;
constexpr size_t kMerge = 32;

/// Samples after a hole that are looked at.
constexpr size_t kMostAhead = 160;

/// The line's loudness is that of the end of a frame, in eighths of a sample: the sum of 64 squares fits, and is the
/// mean square of whole ones.
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
  // Audio that hardly repeats itself is not a voice: repeated at full loudness it would buzz.
  return {period, static_cast<int>(kOne * std::sqrt(std::max(best, 0.25)))};
}

/// A sample as mu-law has it.
int16_t Rounded(int sample) {
  const auto linear = static_cast<uint16_t>(Saturate(sample));
  return kMulawToLinear[kLinearToMulaw[linear >> 2]];
}

/// How far a sound is from where it was a period ago.
int StepOf(const int16_t* pcm, size_t length, size_t period) { return pcm[length - 1] - pcm[length - 1 - period]; }

/// Writes `count` samples at `pcm + length` that repeat the `period` samples before them. The first kJoin ones, of
/// which `written` are there already, lead over `step` to where the sound was a period ago. All are what mu-law can
/// say, so that to remember them changes nothing.
void Repeat(int16_t* pcm, size_t length, size_t period, int step, size_t written, size_t count) {
  for (size_t i = length; i < length + count; ++i, ++written) {
    const int left = written < kJoin ? static_cast<int>(kJoin - written) : 0;
    pcm[i] = Rounded(pcm[i - period] + step * left / static_cast<int>(kJoin));
  }
}

int Share(int sample, int share) { return sample * share >> 15; }

}  // namespace

Concealer::Concealer() { std::memset(history_, kMulawSilence, sizeof(history_)); }

void Concealer::Push(const uint8_t* mulaw, size_t count) {
  const size_t first = std::min(count, kRing - next_);
  std::memcpy(history_ + next_, mulaw, first);
  std::memcpy(history_, mulaw + first, count - first);
  next_ = static_cast<uint8_t>(next_ + count);
}

void Concealer::Push(const int16_t* pcm, size_t count) {
  for (size_t i = 0; i < count; ++i) history_[next_++] = kLinearToMulaw[static_cast<uint16_t>(pcm[i]) >> 2];
}

void Concealer::Remember(const int16_t* pcm, const uint8_t* mulaw, size_t count) {
  Push(mulaw, count);
  elapsed_ = 0;
  if (count < kMeasured) return;
  uint32_t energy = 0;
  for (const int16_t* sample = pcm + count - kMeasured; sample < pcm + count; ++sample) {
    const int eighths = *sample >> kMeasuredShift;
    energy += static_cast<uint32_t>(eighths * eighths);
  }
  // A quieter level counts immediately, and for seconds.
  const uint32_t known = quietest_ == kUnknown ? energy : quietest_ + (quietest_ >> 5) + 8;
  quietest_ = std::min(energy, known);
}

int Concealer::Noise(int amplitude) {
  random_ = random_ * 1664525 + 1013904223;
  return (static_cast<int>(random_ >> 16) - kOne) * amplitude >> 15;
}

void Concealer::Fill(int16_t* pcm, size_t count) {
  int16_t sound[kHistory + kFadeEnd];
  const auto oldest = static_cast<uint8_t>(next_ - kHistory);
  for (size_t i = 0; i < kHistory; ++i) sound[i] = kMulawToLinear[history_[static_cast<uint8_t>(oldest + i)]];
  if (elapsed_ == 0) {
    const Voice voice = FindVoice(sound, kHistory);
    period_ = static_cast<uint8_t>(voice.period);
    loudness_ = static_cast<uint16_t>(voice.loudness);
    step_ = StepOf(sound, kHistory, voice.period);
  }
  // Evenly spread numbers have a third of the square of the largest.
  const uint32_t power = quietest_ == kUnknown ? 0 : std::min(quietest_, kLoudestNoise);
  const int amplitude = static_cast<int>(std::sqrt(3.0 * power));

  const size_t repeated = std::min<size_t>(count, kFadeEnd - elapsed_);
  if (repeated > 0) {
    Repeat(sound, kHistory, period_, step_, elapsed_, repeated);
    Push(sound + kHistory, repeated);
    for (size_t i = 0; i < repeated; ++i, ++elapsed_) {
      const int left = elapsed_ < kFadeBegin ? kOne : (kFadeEnd - elapsed_) * kOne / (kFadeEnd - kFadeBegin);
      const int voice = Share(Share(sound[kHistory + i], loudness_), left);
      *pcm++ = Saturate(voice + Share(Noise(amplitude), kOne - left) + kRounding);
    }
    // What comes later repeats nothing of it.
    if (elapsed_ == kFadeEnd) Forget();
  }
  for (size_t i = repeated; i < count; ++i) *pcm++ = Saturate(Noise(amplitude) + kRounding);
}

void Concealer::Forget() {
  std::memset(history_, kMulawSilence, sizeof(history_));
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
  Repeat(sound, ahead, voice.period, StepOf(sound, ahead, voice.period), 0, fade);
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
