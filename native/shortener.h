// Shortens speech without a change of pitch: removes one period of the voice from a piece.

#ifndef TRUNKLINE_NATIVE_SHORTENER_H_
#define TRUNKLINE_NATIVE_SHORTENER_H_

#include <cstddef>
#include <cstdint>

namespace trunkline {

/// Samples at 48 kHz that can be shortened at once: 20 to 40 ms.
inline constexpr size_t kMinShortened = 960;
inline constexpr size_t kMaxShortened = 1920;

/// What can be taken out: 2.5 to 15 ms, the periods of all voices and multiples of the short ones.
inline constexpr size_t kMinPeriod = 120;
inline constexpr size_t kMaxPeriod = 720;

/// Takes the period out of `count` samples at 48 kHz, in place, after which they are most like themselves: kMinPeriod
/// to kMaxPeriod samples, `most` at most. The first samples fade into those a period later, over 5 to 10 ms, and the
/// rest moves up; the very first and all after the fade are as they were, so that what comes before and after joins on.
/// Returns the samples that are left, behind which there is nothing of worth; or `count`, with nothing changed, if
/// `most` is below kMinPeriod. The same bytes on every processor.
size_t Shorten(int16_t* pcm, size_t count, size_t most);

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_SHORTENER_H_
