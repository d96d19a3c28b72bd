// Keys of a telephone as in-band tones (ITU-T Q.23) at 48 kHz.

#ifndef TRUNKLINE_NATIVE_DTMF_H_
#define TRUNKLINE_NATIVE_DTMF_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trunkline {

/// Digits that may wait, including the one being read.
inline constexpr size_t kMaxDtmfDigits = 64;

/// How long a key's tone is, and the pause after it, in samples.
struct DtmfTiming {
  /// 100 ms each by default: ITU-T Q.24 asks for about 40 ms of either, and a lossy path needs a margin.
  uint32_t tone = 4800;
  uint32_t pause = 4800;
};

/// `w` and `W`, the pauses of Twilio's SendDigits: 500 ms and 1 s. Source: twilio.com/docs/api/errors/21206.
inline constexpr size_t kDtmfShortWaitSamples = 24000;
inline constexpr size_t kDtmfLongWaitSamples = 48000;

/// A sine from phase zero, sample by sample. In 100 ms it strays less than 1e-6 from the true one.
class Sine {
 public:
  Sine() = default;

  /// `frequency` in Hz.
  Sine(double frequency, double amplitude);

  double Next() {
    const double sample = next_;
    next_ = doubledCosine_ * sample - previous_;
    previous_ = sample;
    return sample;
  }

 private:
  double doubledCosine_ = 0;
  double previous_ = 0;
  double next_ = 0;
};

/// A queue of digits and the audio they make. The audio is the same however it is cut into reads.
class DtmfGenerator {
 public:
  /// Queues digits, any of 0-9 * # A-D a-d w W. Returns false, with nothing changed, if more than kMaxDtmfDigits would
  /// wait.
  bool Push(std::string_view digits, DtmfTiming timing = {});

  /// Writes the next `count` samples, silence after the last digit's pause.
  void Read(int16_t* out, size_t count);

  /// Samples up to the end of the last digit's pause.
  size_t left() const { return left_; }

  /// Digits not yet read to their end.
  size_t waiting() const { return waiting_; }

 private:
  /// Writes up to `count` samples of the first digit; returns how many.
  size_t ReadDigit(int16_t* out, size_t count);

  char queue_[kMaxDtmfDigits] = {};  // a ring; letters of keys in upper case
  DtmfTiming timings_[kMaxDtmfDigits] = {};
  size_t first_ = 0;
  size_t waiting_ = 0;
  size_t position_ = 0;  // samples of the first digit already read
  size_t left_ = 0;
  Sine low_, high_;
};

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_DTMF_H_
