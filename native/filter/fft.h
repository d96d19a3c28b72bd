// The discrete Fourier transform.

#ifndef TRUNKLINE_NATIVE_FILTER_FFT_H_
#define TRUNKLINE_NATIVE_FILTER_FFT_H_

#include <complex>
#include <vector>

namespace trunkline::filter {

/// Transforms in place, without a scale factor. The size must be a power of two.
void Transform(std::vector<std::complex<double>>* values);

/// Undoes Transform, 1/size included.
void TransformBack(std::vector<std::complex<double>>* values);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_FFT_H_
