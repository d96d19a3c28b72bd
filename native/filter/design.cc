// Designs the coefficient table: prints the two arrays of ../coefficients.h on standard output, and how it went on
// standard error.
//
//   design             from the band edges alone
//   design --polish    from the table of ../coefficients.h: can the search still improve it?
//   --moves N          tries a table, 20 million by default
//   --seed N           of the search, 1 by default

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <vector>

#include "prototype.h"
#include "quantise.h"
#include "report.h"
#include "response.h"
#include "search.h"
#include "table_writer.h"
#include "taps.h"

namespace {

using namespace trunkline::filter;

struct Options {
  bool polish = false;
  SearchBudget budget{20'000'000, 1};
};

bool ReadNumber(const char* text, int64_t* number) {
  char* end = nullptr;
  if (text != nullptr) *number = std::strtoll(text, &end, 10);
  return text != nullptr && end != text && *end == '\0' && *number >= 0;
}

bool ReadOptions(char** argument, Options* options) {
  for (; *argument != nullptr; ++argument) {
    int64_t number = 0;
    if (std::strcmp(*argument, "--polish") == 0) {
      options->polish = true;
    } else if (std::strcmp(*argument, "--moves") == 0 && ReadNumber(argument[1], &number)) {
      options->budget.moves = number;
      ++argument;
    } else if (std::strcmp(*argument, "--seed") == 0 && ReadNumber(argument[1], &number)) {
      options->budget.seed = static_cast<uint64_t>(number);
      ++argument;
    } else {
      return false;
    }
  }
  return true;
}

Taps Improve(const Taps& table, SearchStart start, const SearchBudget& budget) {
  const SearchResult result = Search(table, start, budget);
  std::fprintf(stderr, "%s: %.2f dB -> %.2f dB\n", table.direction == Direction::kUp ? "x6" : "/6", result.beforeDb,
               result.afterDb);
  return result.taps;
}

std::vector<double> PrototypeWithFigures() {
  const std::vector<double> impulse = DesignPrototype();
  const Response response = MeasureResponse(impulse);
  std::fprintf(stderr, "prototype: ripple %.4f dB, stop %.2f dB\n", response.rippleDb, response.stopDb);
  return impulse;
}

void PrintDesign(const Taps& up, const Taps& down) {
  Report(up, down, stderr);
  WriteTable(up, stdout);
  std::printf("\n");
  WriteTable(down, stdout);
}

void Design(const SearchBudget& budget) {
  const std::vector<double> prototype = PrototypeWithFigures();
  const Taps up = Improve(Quantise(prototype, Direction::kUp), SearchStart::kHot, budget);
  const Taps down = Improve(Quantise(prototype, Direction::kDown), SearchStart::kHot, budget);
  PrintDesign(up, down);
}

void Polish(const SearchBudget& budget) {
  const Taps oldUp = CheckedInTaps(Direction::kUp);
  const Taps oldDown = CheckedInTaps(Direction::kDown);
  const Taps up = Improve(oldUp, SearchStart::kCold, budget);
  const Taps down = Improve(oldDown, SearchStart::kCold, budget);
  const bool same = up.values == oldUp.values && down.values == oldDown.values;
  std::fprintf(stderr, same ? "no move improves the checked-in table\n" : "the checked-in table can be improved\n");
  PrintDesign(up, down);
}

}  // namespace

int main(int, char** arguments) {
  Options options;
  if (!ReadOptions(arguments + 1, &options)) {
    std::fprintf(stderr, "usage: design [--polish] [--moves N] [--seed N]\n");
    return 2;
  }
  try {
    options.polish ? Polish(options.budget) : Design(options.budget);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "design: %s\n", error.what());
    return 1;
  }
  return 0;
}
