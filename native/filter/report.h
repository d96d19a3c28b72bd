// The figures of a pair of tables, and the bars they must clear.

#ifndef TRUNKLINE_NATIVE_FILTER_REPORT_H_
#define TRUNKLINE_NATIVE_FILTER_REPORT_H_

#include <cstdio>

#include "taps.h"

namespace trunkline::filter {

/// Prints one line a figure. Returns false if a figure misses its bar; such a figure is marked.
bool Report(const Taps& up, const Taps& down, std::FILE* out);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_REPORT_H_
