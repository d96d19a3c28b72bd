// Measures the coefficient table of ../coefficients.h. Exit status 1 means that a figure misses its bar.

#include <cstdio>

#include "report.h"
#include "taps.h"

int main() {
  using namespace trunkline::filter;
  return Report(CheckedInTaps(Direction::kUp), CheckedInTaps(Direction::kDown), stdout) ? 0 : 1;
}
