#include "dtmf.h"

#include <algorithm>
#include <cmath>

namespace trunkline {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kSampleRate = 48000;

/// Four rows of four keys, and the frequencies in Hz that rows and columns stand for. Source: ITU-T Q.23.
constexpr std::string_view kKeypad = "123A456B789C*0#D";
constexpr double kRowFrequencies[] = {697, 770, 852, 941};
constexpr double kColumnFrequencies[] = {1209, 1336, 1477, 1633};

// A sine of 0 dBm0 has an amplitude of 22657: ITU-T G.711 puts full scale (8159 in 14 bits) at +3.17 dBm0. As a
// telephone does, the rows go out at -9 dBm0 and the columns 2 dB louder: lines lose more of high frequencies (ETSI
// ES 201 235).
constexpr double kRowAmplitude = 8039;
constexpr double kColumnAmplitude = 10121;
static_assert(kRowAmplitude + kColumnAmplitude <= INT16_MAX, "both together do not clip");

/// 5 ms at either edge of a tone, in which it comes and goes as a raised cosine: a hard edge is a click.
constexpr size_t kRampSamples = 240;

constexpr bool IsWait(char digit) { return digit == 'w' || digit == 'W'; }

constexpr char UpperKey(char digit) {
  return digit >= 'a' && digit <= 'd' ? static_cast<char>(digit - 'a' + 'A') : digit;
}

/// Samples of tone in a digit, and of the digit as a whole.
constexpr size_t ToneSamples(char digit, DtmfTiming timing) { return IsWait(digit) ? 0 : timing.tone; }
constexpr size_t DigitSamples(char digit, DtmfTiming timing) {
  if (digit == 'w') return kDtmfShortWaitSamples;
  return digit == 'W' ? kDtmfLongWaitSamples : timing.tone + timing.pause;
}

/// Loudness of sample `position` in a tone of `length`, 0 to 1.
double Envelope(size_t position, size_t length) {
  const size_t toEdge = std::min(position, length - position);
  return toEdge < kRampSamples ? 0.5 - 0.5 * std::cos(kPi * static_cast<double>(toEdge) / kRampSamples) : 1;
}

}  // namespace

Sine::Sine(double frequency, double amplitude) {
  const double step = 2 * kPi * frequency / kSampleRate;
  doubledCosine_ = 2 * std::cos(step);
  previous_ = -amplitude * std::sin(step);
}

bool DtmfGenerator::Push(std::string_view digits, DtmfTiming timing) {
  if (digits.size() > kMaxDtmfDigits - waiting_) return false;
  for (const char digit : digits) {
    const size_t at = (first_ + waiting_++) % kMaxDtmfDigits;
    queue_[at] = UpperKey(digit);
    timings_[at] = timing;
    left_ += DigitSamples(digit, timing);
  }
  return true;
}

void DtmfGenerator::Read(int16_t* out, size_t count) {
  while (count > 0 && waiting_ > 0) {
    const size_t done = ReadDigit(out, count);
    out += done;
    count -= done;
  }
  std::fill_n(out, count, int16_t{0});
}

size_t DtmfGenerator::ReadDigit(int16_t* out, size_t count) {
  const char digit = queue_[first_];
  const DtmfTiming timing = timings_[first_];
  const size_t toneEnd = ToneSamples(digit, timing);
  const size_t digitEnd = DigitSamples(digit, timing);
  if (position_ == 0 && toneEnd > 0) {
    const size_t key = kKeypad.find(digit);
    low_ = Sine(kRowFrequencies[key / 4], kRowAmplitude);
    high_ = Sine(kColumnFrequencies[key % 4], kColumnAmplitude);
  }
  const size_t end = std::min(position_ + count, digitEnd);
  const size_t done = end - position_;
  left_ -= done;
  for (; position_ < std::min(end, toneEnd); ++position_) {
    *out++ = static_cast<int16_t>(std::lrint(Envelope(position_, toneEnd) * (low_.Next() + high_.Next())));
  }
  std::fill_n(out, end - position_, int16_t{0});
  position_ = end;
  if (end == digitEnd) {
    first_ = (first_ + 1) % kMaxDtmfDigits;
    --waiting_;
    position_ = 0;
  }
  return done;
}

}  // namespace trunkline
