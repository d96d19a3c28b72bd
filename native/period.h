// How alike two pieces of sound are: what finds the period of a voice, for taking one out and for repeating one.

#ifndef TRUNKLINE_NATIVE_PERIOD_H_
#define TRUNKLINE_NATIVE_PERIOD_H_

#include <cstddef>
#include <cstdint>

namespace trunkline {

/// Samples scaled by Scale do not go beyond this, so that the products of 1,024 of them fit an int32.
inline constexpr int kMostScaled = 1 << 10;

/// Copies samples, all shifted to the right alike, as far as the loudest needs.
inline void Scale(const int16_t* samples, size_t count, int16_t* scaled) {
  int loudest = 0;
  for (size_t i = 0; i < count; ++i) loudest |= samples[i] < 0 ? ~samples[i] : samples[i];
  int shift = 0;
  while (loudest >> shift >= kMostScaled) ++shift;
  for (size_t i = 0; i < count; ++i) scaled[i] = static_cast<int16_t>(samples[i] >> shift);
}

inline int32_t Product(const int16_t* a, const int16_t* b, size_t count) {
  int32_t sum = 0;
  for (size_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

/// The normalised correlation of two pieces, squared, with its sign: -1 to 1, where 1 is the same but for loudness.
/// Silence is as like silence as can be. Products and a quotient in the order written: the same on every processor.
inline double Likeness(int32_t product, int32_t energy, int32_t otherEnergy) {
  if (energy == 0 || otherEnergy == 0) return energy == otherEnergy ? 1 : 0;
  const double square = static_cast<double>(product) * static_cast<double>(product < 0 ? -product : product);
  return square / (static_cast<double>(energy) * static_cast<double>(otherEnergy));
}

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_PERIOD_H_
