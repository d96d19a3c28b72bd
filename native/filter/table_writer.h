// A table as C++ text.

#ifndef TRUNKLINE_NATIVE_FILTER_TABLE_WRITER_H_
#define TRUNKLINE_NATIVE_FILTER_TABLE_WRITER_H_

#include <cstdio>

#include "taps.h"

namespace trunkline::filter {

/// Prints the array definition just as it stands in ../coefficients.h.
void WriteTable(const Taps& taps, std::FILE* out);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_TABLE_WRITER_H_
