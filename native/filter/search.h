// Better integers in the neighbourhood of a table.

#ifndef TRUNKLINE_NATIVE_FILTER_SEARCH_H_
#define TRUNKLINE_NATIVE_FILTER_SEARCH_H_

#include <cstdint>

#include "taps.h"

namespace trunkline::filter {

struct SearchBudget {
  int64_t moves;  // a number of tries, not a time: the same program always gives the same table
  uint64_t seed;
};

struct SearchResult {
  Taps taps;
  double beforeDb;  // worst stop-band gain on the search's grid, or the ripple above its limit if that is worse
  double afterDb;
};

/// Tries small random changes that keep every sum, and keeps those that lower the worst point of the response.
SearchResult Search(const Taps& start, const SearchBudget& budget);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_SEARCH_H_
