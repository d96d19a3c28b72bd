#include "search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdlib>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "band.h"

namespace trunkline::filter {
namespace {

// Bins of 8 Hz hit both band edges, and 6000 of them go round the circle, so that one short table holds every cosine.
constexpr int kBinHz = 8;
constexpr int kBinsPerTurn = static_cast<int>(kSampleRate) / kBinHz;
constexpr int kLastPassBin = static_cast<int>(kPassEdge) / kBinHz;
constexpr int kFirstStopBin = static_cast<int>(kStopEdge) / kBinHz;
constexpr int kLastStopBin = kBinsPerTurn / 2;
static_assert(kLastPassBin * kBinHz == kPassEdge && kFirstStopBin * kBinHz == kStopEdge);

// The bar is 0.01 dB; the difference covers what lies between two bins.
constexpr double kRippleLimitDb = 0.0095;

// -32768 would let SIMD products overflow when they are added in pairs.
constexpr int kLargestTap = 32767;

// A unit of a coarse tap is bought back with at most this many units of a fine one: more would disturb the response too much
// to be worth a try.
constexpr int kLargestRatio = 4;

// A smaller gain than this is rounding.
constexpr double kLeastGain = 1e-6;

// Positions at the head of the order that are left alone when a bin moves up.
constexpr size_t kSettledBins = 8;

// One round: a walk, and a descent that is long enough to end where no move helps.
const int64_t kWalkMoves = atol(getenv("WM"));
const int64_t kRoundMoves = atol(getenv("RM"));
const double kWalkSlack = atof(getenv("WS"));

struct Change {
  int tap;
  int units;
};

/// One or two exchanges between taps of a sum class.
struct Move {
  std::array<Change, 4> changes;
  int count = 0;
};

class LocalSearch {
 public:
  LocalSearch(const Taps& start, uint64_t seed);

  /// Makes a random move if that leaves the cost below the level or, where it is above, lowers it.
  bool Try(double level);

  /// Takes over the other's table if that is better, and in any case its luck: the next round shall be another.
  void Follow(const LocalSearch& other);

  double cost() const { return cost_; }
  const Taps& taps() const { return taps_; }

 private:
  using Complex = std::complex<double>;

  struct Bin {
    int number;
    Complex gain;
    double cost;
  };

  int Draw(size_t count) { return static_cast<int>(random_() % count); }
  bool DrawMove(Move* move);
  bool AddExchange(Move* move);
  bool AddChange(int tap, int units, Move* move) const;

  Complex Effect(const Change& change, int bin) const;
  Complex Moved(const Bin& bin, const Move& move) const;
  double CostOf(int bin, const Complex& gain) const;
  bool StaysBelow(double limit, const Move& move);
  void Make(const Move& move);
  void Order();

  Taps taps_;
  std::mt19937_64 random_;
  std::vector<std::vector<int>> classes_;  // taps that share a sum
  std::array<int, kTapCount> steps_;       // StepOf
  std::vector<Complex> circle_;            // a unit of the finest scale, turned by each bin's angle
  std::vector<Bin> bins_;                  // those most likely to object come first
  double rippleLimit_;
  double cost_ = 0;
};

LocalSearch::LocalSearch(const Taps& start, uint64_t seed)
    : taps_(start),
      random_(seed),
      classes_(static_cast<size_t>(SumClassCount(start.direction))),
      rippleLimit_(std::pow(10, kRippleLimitDb / 20) - 1) {
  for (int n = 0; n < kTapCount; ++n) {
    classes_[static_cast<size_t>(SumClassOf(start.direction, n))].push_back(n);
    steps_[n] = StepOf(start.direction, n);
  }

  const double unit = std::ldexp(1.0 / SumClassCount(start.direction), -FinestScale(start.direction));
  const double turn = 2 * std::acos(-1.0);
  for (int k = 0; k < kBinsPerTurn; ++k) circle_.push_back(std::polar(unit, -turn * k / kBinsPerTurn));

  for (int k = 0; k <= kLastStopBin; ++k) {
    if (k > kLastPassBin && k < kFirstStopBin) continue;
    Bin bin{k, 0, 0};
    for (int n = 0; n < kTapCount; ++n) bin.gain += Effect({n, start.values[n]}, k);
    bins_.push_back(bin);
  }
  Order();
}

/// Sorts the bins by cost: most moves fail at one of the first, and the others need not be looked at.
void LocalSearch::Order() {
  for (Bin& bin : bins_) bin.cost = CostOf(bin.number, bin.gain);
  std::sort(bins_.begin(), bins_.end(),
            [](const Bin& a, const Bin& b) { return std::make_pair(-a.cost, a.number) < std::make_pair(-b.cost, b.number); });
  cost_ = bins_.front().cost;
}

LocalSearch::Complex LocalSearch::Effect(const Change& change, int bin) const {
  const double units = static_cast<double>(change.units) * steps_[change.tap];
  return units * circle_[static_cast<unsigned>(bin * change.tap) % kBinsPerTurn];
}

LocalSearch::Complex LocalSearch::Moved(const Bin& bin, const Move& move) const {
  Complex gain = bin.gain;
  for (int i = 0; i < move.count; ++i) gain += Effect(move.changes[i], bin.number);
  return gain;
}

/// The gain in the stop band; in the pass band, what exceeds the ripple limit.
double LocalSearch::CostOf(int bin, const Complex& gain) const {
  const double magnitude = std::sqrt(std::norm(gain));
  if (bin >= kFirstStopBin) return magnitude;
  return std::max(0.0, std::abs(magnitude - 1) - rippleLimit_);
}

/// Two exchanges a third of the time: they get out of places where no single one helps.
bool LocalSearch::DrawMove(Move* move) {
  const int exchanges = Draw(3) == 0 ? 2 : 1;
  for (int i = 0; i < exchanges; ++i)
    if (!AddExchange(move)) return false;
  return true;
}

/// One tap up, another of its class down by the same amount.
bool LocalSearch::AddExchange(Move* move) {
  const std::vector<int>& taps = classes_[static_cast<size_t>(Draw(classes_.size()))];
  const int a = taps[static_cast<size_t>(Draw(taps.size()))];
  const int b = taps[static_cast<size_t>(Draw(taps.size()))];
  const int amount = std::max(steps_[a], steps_[b]);
  const int unitsA = amount / steps_[a];
  const int unitsB = amount / steps_[b];
  if (unitsA > kLargestRatio || unitsB > kLargestRatio) return false;
  return AddChange(a, unitsA, move) && AddChange(b, -unitsB, move);
}

bool LocalSearch::AddChange(int tap, int units, Move* move) const {
  for (int i = 0; i < move->count; ++i)
    if (move->changes[i].tap == tap) return false;
  if (std::abs(taps_.values[tap] + units) > kLargestTap) return false;
  move->changes[move->count++] = {tap, units};
  return true;
}

bool LocalSearch::StaysBelow(double limit, const Move& move) {
  for (size_t i = 0; i < bins_.size(); ++i) {
    if (CostOf(bins_[i].number, Moved(bins_[i], move)) < limit) continue;
    // Next time this bin is asked early.
    if (i > kSettledBins) std::rotate(bins_.begin(), bins_.begin() + static_cast<ptrdiff_t>(i), bins_.begin() + static_cast<ptrdiff_t>(i) + 1);
    return false;
  }
  return true;
}

void LocalSearch::Make(const Move& move) {
  cost_ = 0;
  for (Bin& bin : bins_) {
    bin.gain = Moved(bin, move);
    cost_ = std::max(cost_, CostOf(bin.number, bin.gain));
  }
  for (int i = 0; i < move.count; ++i) taps_.values[move.changes[i].tap] += move.changes[i].units;
}

bool LocalSearch::Try(double level) {
  Move move;
  if (!DrawMove(&move) || !StaysBelow(std::max(level, cost_ * (1 - kLeastGain)), move)) return false;
  Make(move);
  return true;
}

void LocalSearch::Follow(const LocalSearch& other) {
  if (other.cost_ < cost_) {
    *this = other;
  } else {
    random_ = other.random_;
  }
}

double Decibels(double gain) { return 20 * std::log10(gain); }

/// From the best so far: a walk that may make it a little worse, then only downhill.
LocalSearch Wander(const LocalSearch& best, int64_t moves) {
  LocalSearch search = best;
  for (int64_t i = 0; i < moves; ++i) search.Try(i < kWalkMoves ? best.cost() * kWalkSlack : 0);
  return search;
}

}  // namespace

SearchResult Search(const Taps& start, const SearchBudget& budget) {
  LocalSearch best(start, budget.seed);
  SearchResult result{start, Decibels(best.cost()), 0};
  for (int64_t moves = 0; moves < budget.moves; moves += kRoundMoves) {
    LocalSearch found = Wander(best, std::min(kRoundMoves, budget.moves - moves));
    best.Follow(found);
if(moves%20000000==0)fprintf(stderr,"%ld %.2f\n",moves,Decibels(best.cost()));
  }
  result.taps = best.taps();
  result.afterDb = Decibels(best.cost());
  return result;
}

}  // namespace trunkline::filter
