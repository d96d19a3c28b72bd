#include "search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdlib>
#include <random>
#include <vector>

#include "band.h"

namespace trunkline::filter {
namespace {

using Complex = std::complex<double>;

// Bins of 8 Hz hit both band edges, and 6000 of them go round the circle, so that one short table holds every cosine.
constexpr int kBinHz = 8;
constexpr int kBinsPerTurn = static_cast<int>(kSampleRate) / kBinHz;
constexpr int kLastPassBin = static_cast<int>(kPassEdge) / kBinHz;
constexpr int kFirstStopBin = static_cast<int>(kStopEdge) / kBinHz;
constexpr int kLastStopBin = kBinsPerTurn / 2;
static_assert(kLastPassBin * kBinHz == kPassEdge && kFirstStopBin * kBinHz == kStopEdge);

// The bar is 0.01 dB; the difference leaves room for what lies between two bins.
constexpr double kRippleLimitDb = 0.0095;

// 1 dB short of the prototype. What exceeds it is the cost, so that all high peaks count at once; a search that looks
// only at the highest one gets stuck 1 dB earlier.
constexpr double kTargetDb = -96.8;

// Costs run from 10 or 20 after rounding to 0.1 for x6 and 1 for /6. A hotter start forgets what the rounding achieved.
constexpr double kFirstTemperature = 0.1;
constexpr double kLastTemperature = 0.005;

// -32768 would let SIMD products overflow when they are added in pairs.
constexpr int kLargestTap = 32767;

// A unit of a coarse tap is bought back with at most this many units of a fine one: more would disturb the response too
// much to be worth a try.
constexpr int kLargestRatio = 4;

// A change of cost below this part of it is rounding.
constexpr double kLeastGain = 1e-6;

// Sorting takes as long as some hundred tries, and the order hardly changes from one move to the next.
constexpr int kMovesPerSort = 32;

struct Change {
  int tap;
  int units;
};

/// One or two exchanges between taps of a sum class.
struct Move {
  std::array<Change, 4> changes;
  int count = 0;
};

class Walk {
 public:
  Walk(const Taps& table, uint64_t seed);

  /// Makes a random move, if it lowers the cost or by chance: the likelier, the less it costs and the hotter it is.
  bool Step(double temperature);

  const Taps& taps() const { return taps_; }
  double peak() const { return peak_; }  // highest level of all bins

 private:
  struct Bin {
    int number;
    Complex gain;
    double cost;
  };

  size_t Draw(size_t count) { return random_() % count; }
  double DrawBudget(double temperature);
  bool DrawMove(Move* move);
  bool AddExchange(Move* move);
  bool AddChange(int tap, int units, Move* move) const;

  Complex Effect(const Change& change, int bin) const;
  Complex Moved(const Bin& bin, const Move& move) const;
  double Level(int bin, const Complex& gain) const;
  double CostOf(double level) const;
  bool Costs(double most, const Move& move) const;
  void Make(const Move& move);
  void Assess();
  void SortBins();

  Taps taps_;
  std::mt19937_64 random_;
  std::vector<std::vector<int>> classes_;  // taps that share a sum
  std::array<int, kTapCount> steps_;       // StepOf
  std::vector<Complex> circle_;            // a unit of the finest scale, turned by each bin's angle
  std::vector<Bin> bins_;                  // the costly ones come first, or nearly so
  double rippleLimit_;
  double target_;
  double cost_ = 0;
  double peak_ = 0;
  int movesMade_ = 0;
};

Walk::Walk(const Taps& table, uint64_t seed)
    : taps_(table),
      random_(seed),
      classes_(static_cast<size_t>(SumClassCount(table.direction))),
      rippleLimit_(std::pow(10, kRippleLimitDb / 20) - 1),
      target_(std::pow(10, kTargetDb / 20)) {
  for (int n = 0; n < kTapCount; ++n) {
    classes_[static_cast<size_t>(SumClassOf(table.direction, n))].push_back(n);
    steps_[n] = StepOf(table.direction, n);
  }

  const double unit = std::ldexp(1.0 / SumClassCount(table.direction), -FinestScale(table.direction));
  const double turn = 2 * std::acos(-1.0);
  for (int k = 0; k < kBinsPerTurn; ++k) circle_.push_back(std::polar(unit, -turn * k / kBinsPerTurn));

  for (int k = 0; k <= kLastStopBin; ++k) {
    if (k > kLastPassBin && k < kFirstStopBin) continue;
    Bin bin{k, 0, 0};
    for (int n = 0; n < kTapCount; ++n) bin.gain += Effect({n, table.values[n]}, k);
    bins_.push_back(bin);
  }
  Assess();
  SortBins();
}

/// Most moves fail at the first bins of this order, and the others need not be looked at.
void Walk::SortBins() {
  std::stable_sort(bins_.begin(), bins_.end(), [](const Bin& a, const Bin& b) { return a.cost > b.cost; });
}

void Walk::Assess() {
  cost_ = 0;
  peak_ = 0;
  for (Bin& bin : bins_) {
    const double level = Level(bin.number, bin.gain);
    bin.cost = CostOf(level);
    cost_ += bin.cost;
    peak_ = std::max(peak_, level);
  }
}

Complex Walk::Effect(const Change& change, int bin) const {
  const double units = static_cast<double>(change.units) * steps_[change.tap];
  return units * circle_[static_cast<unsigned>(bin * change.tap) % kBinsPerTurn];
}

Complex Walk::Moved(const Bin& bin, const Move& move) const {
  Complex gain = bin.gain;
  for (int i = 0; i < move.count; ++i) gain += Effect(move.changes[i], bin.number);
  return gain;
}

/// The gain in the stop band; in the pass band, what exceeds the ripple limit.
double Walk::Level(int bin, const Complex& gain) const {
  const double magnitude = std::sqrt(std::norm(gain));
  if (bin >= kFirstStopBin) return magnitude;
  return std::max(0.0, std::abs(magnitude - 1) - rippleLimit_);
}

double Walk::CostOf(double level) const {
  const double excess = std::max(0.0, level / target_ - 1);
  return excess * excess;
}

/// How much the next move may cost. Drawn before the move is looked at, so that looking can stop early.
double Walk::DrawBudget(double temperature) {
  if (temperature == 0) return cost_ * (1 - kLeastGain);
  const double chance = (static_cast<double>(random_() >> 11) + 0.5) * 0x1p-53;
  return cost_ - temperature * std::log(chance);
}

/// Two exchanges a third of the time: they get out of places where no single one helps.
bool Walk::DrawMove(Move* move) {
  const int exchanges = Draw(3) == 0 ? 2 : 1;
  for (int i = 0; i < exchanges; ++i)
    if (!AddExchange(move)) return false;
  return true;
}

/// One tap up, another of its class down by the same amount.
bool Walk::AddExchange(Move* move) {
  const std::vector<int>& taps = classes_[Draw(classes_.size())];
  const int a = taps[Draw(taps.size())];
  const int b = taps[Draw(taps.size())];
  const int amount = std::max(steps_[a], steps_[b]);
  const int unitsA = amount / steps_[a];
  const int unitsB = amount / steps_[b];
  if (unitsA > kLargestRatio || unitsB > kLargestRatio) return false;
  return AddChange(a, unitsA, move) && AddChange(b, -unitsB, move);
}

bool Walk::AddChange(int tap, int units, Move* move) const {
  for (int i = 0; i < move->count; ++i)
    if (move->changes[i].tap == tap) return false;
  if (std::abs(taps_.values[tap] + units) > kLargestTap) return false;
  move->changes[move->count++] = {tap, units};
  return true;
}

/// Whether the table would cost `most` or more after the move.
bool Walk::Costs(double most, const Move& move) const {
  double cost = 0;
  for (const Bin& bin : bins_) {
    cost += CostOf(Level(bin.number, Moved(bin, move)));
    if (cost >= most) return true;
  }
  return false;
}

void Walk::Make(const Move& move) {
  for (Bin& bin : bins_) bin.gain = Moved(bin, move);
  for (int i = 0; i < move.count; ++i) taps_.values[move.changes[i].tap] += move.changes[i].units;
  Assess();
  if (++movesMade_ % kMovesPerSort == 0) SortBins();
}

bool Walk::Step(double temperature) {
  Move move;
  if (!DrawMove(&move) || Costs(DrawBudget(temperature), move)) return false;
  Make(move);
  return true;
}

/// Falls by the same factor with every move.
double TemperatureAt(double progress) {
  return kFirstTemperature * std::pow(kLastTemperature / kFirstTemperature, progress);
}

double Decibels(double gain) { return 20 * std::log10(gain); }

}  // namespace

SearchResult Search(const Taps& table, SearchStart start, const SearchBudget& budget) {
  Walk walk(table, budget.seed);
  Taps best = table;
  double bestPeak = walk.peak();
  const double firstPeak = bestPeak;
  for (int64_t i = 0; i < budget.moves; ++i) {
    const double progress = static_cast<double>(i) / static_cast<double>(budget.moves);
    if (!walk.Step(start == SearchStart::kHot ? TemperatureAt(progress) : 0) || walk.peak() >= bestPeak) continue;
    best = walk.taps();
    bestPeak = walk.peak();
  }
  return {best, Decibels(firstPeak), Decibels(bestPeak)};
}

}  // namespace trunkline::filter
