// Packet loss concealment: where a call's audio is missing, the voice continues for some milliseconds and fades in from
// the audio after the hole, with the line's noise in between. At 8 kHz, before the filter.

#ifndef TRUNKLINE_NATIVE_CONCEALER_H_
#define TRUNKLINE_NATIVE_CONCEALER_H_

#include <cstddef>
#include <cstdint>

namespace trunkline {

/// One call's history: the last 30 ms, and how loud the line is when nobody speaks. A hole begins with
/// Fill or Forget and ends with Approach, Merge, or audio that is only remembered.
class Concealer {
 public:
  Concealer();

  /// Remembers received audio: linear samples, and the same in mu-law. Called for every frame, in order.
  void Remember(const int16_t* pcm, const uint8_t* mulaw, size_t count);

  /// Makes `count` samples for a hole: the last period of the voice repeated, fading after 10 ms and gone after 60,
  /// into noise at the recent noise level, -45 dBFS at most. Several calls make one hole.
  void Fill(int16_t* pcm, size_t count);

  /// Begins a hole with noise alone, because the last audio is too long ago.
  void Forget();

  /// Whether a hole has begun.
  bool filling() const { return elapsed_ > 0; }

  /// Ends a hole, of which `pcm` is all or the end: its samples fade into a repetition of what comes after it,
  /// backwards. That itself needs no change. Short holes fade over all of their length, those of 60 ms and more in the
  /// last 10. Does nothing, and ends nothing, if `next` is less than two of the shortest periods.
  void Approach(int16_t* pcm, size_t count, const int16_t* next, size_t nextCount);

  /// Ends a hole that was played before the next audio was known: the continuation that Fill would make fades into
  /// `pcm`, over 4 ms.
  void Merge(int16_t* pcm, size_t count);

 private:
  /// A ring whose places are counted by a byte, of which the newest 30 ms are used.
  static constexpr size_t kRing = 256;
  static constexpr size_t kHistory = 240;
  static constexpr uint32_t kUnknown = UINT32_MAX;

  void Push(const uint8_t* mulaw, size_t count);
  void Push(const int16_t* pcm, size_t count);
  int Noise(int amplitude);

  uint8_t history_[kRing];        // mu-law; in a hole with its repetitions, as loud as the voice was
  uint8_t next_ = 0;              // where the next byte goes
  uint8_t period_ = 0;            // of the voice before the hole
  uint16_t loudness_ = 0;         // of its repetition, Q15
  uint16_t elapsed_ = 0;          // samples of the hole so far, at most those until the voice is gone
  int32_t step_ = 0;              // from the end of the voice to where it was a period before
  uint32_t quietest_ = kUnknown;  // mean square of the noise of the line
  uint32_t random_ = 1;
};

static_assert(sizeof(Concealer) <= 280, "thousands of calls share the cache");

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_CONCEALER_H_
