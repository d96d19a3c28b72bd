#include "fft.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace trunkline::filter {
namespace {

using Complex = std::complex<double>;

/// Radix-2 butterflies work in place if the input lies in bit-reversed order.
void ReverseBits(std::vector<Complex>* values) {
  const size_t size = values->size();
  for (size_t i = 1, reversed = 0; i < size; ++i) {
    size_t bit = size >> 1;
    for (; reversed & bit; bit >>= 1) reversed ^= bit;
    reversed ^= bit;
    if (i < reversed) std::swap((*values)[i], (*values)[reversed]);
  }
}

/// exp(-2 pi i k / size) for the first half circle, each from its own sine: a recurrence would gather error.
std::vector<Complex> HalfCircle(size_t size) {
  const double turn = 2 * std::acos(-1.0);
  std::vector<Complex> circle(size / 2);
  for (size_t k = 0; k < circle.size(); ++k)
    circle[k] = std::polar(1.0, -turn * static_cast<double>(k) / static_cast<double>(size));
  return circle;
}

}  // namespace

void Transform(std::vector<Complex>* values) {
  const size_t size = values->size();
  const std::vector<Complex> circle = HalfCircle(size);
  ReverseBits(values);
  for (size_t half = 1; half < size; half *= 2) {
    const size_t stride = size / (2 * half);
    for (size_t block = 0; block < size; block += 2 * half)
      for (size_t k = 0; k < half; ++k) {
        Complex& a = (*values)[block + k];
        Complex& b = (*values)[block + k + half];
        const Complex turned = b * circle[k * stride];
        b = a - turned;
        a += turned;
      }
  }
}

void TransformBack(std::vector<Complex>* values) {
  Transform(values);
  // Running time backwards turns the forward transform into the inverse one.
  std::reverse(values->begin() + 1, values->end());
  for (Complex& value : *values) value /= static_cast<double>(values->size());
}

}  // namespace trunkline::filter
