// Better integers in the neighbourhood of a table.

#ifndef TRUNKLINE_NATIVE_FILTER_SEARCH_H_
#define TRUNKLINE_NATIVE_FILTER_SEARCH_H_

#include <cstdint>

#include "taps.h"

namespace trunkline::filter {

enum class SearchStart {
  kHot,   // changes that make it worse are often taken at first, ever more rarely later on (simulated annealing)
  kCold,  // only changes that make it better
};

struct SearchBudget {
  int64_t moves;  // a number of tries, not a time: the same program always gives the same table
  uint64_t seed;
};

struct SearchResult {
  Taps taps;
  double beforeDb;  // worst stop-band gain on the search's grid, or the ripple above its limit if that is larger
  double afterDb;
};

/// Tries small random changes that keep every sum exact, and returns the best table met, which may be the first.
SearchResult Search(const Taps& table, SearchStart start, const SearchBudget& budget);

}  // namespace trunkline::filter

#endif  // TRUNKLINE_NATIVE_FILTER_SEARCH_H_
