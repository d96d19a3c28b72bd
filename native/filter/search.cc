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

  void SetTarget(double target) { target_ = target; Order(); }
  bool Try();
  double cost() const { return cost_; }
  double peak() const { return peak_; }
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
  double Level(int bin, const Complex& gain) const;
  double CostOf(double level) const;
  bool Helps(const Move& move);
  void Make(const Move& move);
  void Order();

  Taps taps_;
  std::mt19937_64 random_;
  std::vector<std::vector<int>> classes_;  // taps that share a sum
  std::array<int, kTapCount> steps_;       // StepOf
  std::vector<Complex> circle_;            // a unit of the finest scale, turned by each bin's angle
  std::vector<Bin> bins_;                  // those most likely to object come first
  double rippleLimit_;
  public: double temperature_ = 0; long accepted_ = 0; private:
  double target_ = 1;
  double cost_ = 0;
  double peak_ = 0;
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

/// Sorts the bins by cost: most moves fail at the first ones, and the others need not be looked at.
void LocalSearch::Order() {
  cost_ = 0;
  peak_ = 0;
  for (Bin& bin : bins_) {
    const double level = Level(bin.number, bin.gain);
    bin.cost = CostOf(level);
    cost_ += bin.cost;
    peak_ = std::max(peak_, level);
  }
  if (accepted_++ % 32 == 0) std::sort(bins_.begin(), bins_.end(), [](const Bin& a, const Bin& b) { return std::make_pair(-a.cost, a.number) < std::make_pair(-b.cost, b.number); });
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
double LocalSearch::Level(int bin, const Complex& gain) const {
  const double magnitude = std::sqrt(std::norm(gain));
  if (bin >= kFirstStopBin) return magnitude;
  return std::max(0.0, std::abs(magnitude - 1) - rippleLimit_);
}

double LocalSearch::CostOf(double level) const {
  const double excess = std::max(0.0, level / target_ - 1);
  return excess * excess;
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

bool LocalSearch::Helps(const Move& move) {
  const double u = (double(random_() >> 11) + 0.5) / 9007199254740992.0;
  const double limit = cost_ - temperature_ * std::log(u);
  double cost = 0;
  for (size_t i = 0; i < bins_.size(); ++i) {
    cost += CostOf(Level(bins_[i].number, Moved(bins_[i], move)));
    if (cost >= limit) return false;
  }
  return true;
}

void LocalSearch::Make(const Move& move) {
  for (Bin& bin : bins_) bin.gain = Moved(bin, move);
  for (int i = 0; i < move.count; ++i) taps_.values[move.changes[i].tap] += move.changes[i].units;
  Order();
}

bool LocalSearch::Try() {
  Move move;
  if (!DrawMove(&move) || !Helps(move)) return false;
  Make(move);
  return true;
}

double Decibels(double gain) { return 20 * std::log10(gain); }

}  // namespace

SearchResult Search(const Taps& start, const SearchBudget& budget) {
  LocalSearch search(start, budget.seed);
  SearchResult result{start, Decibels(search.peak()), 0};
  double best = search.peak();
  double db = atof(getenv("L")); search.SetTarget(std::pow(10,db/20)); int64_t last=0; long acc=0;
  double best_at=0;
  for (int64_t i = 0; i < budget.moves; ++i) {
    if (i % 1000 == 0) search.temperature_ = atof(getenv("T0")) * std::pow(atof(getenv("T1")) / atof(getenv("T0")), double(i) / budget.moves);
    if (getenv("V") && i % (budget.moves/10)==0) fprintf(stderr,"V %g cost %g peak %.2f acc %ld\n",search.temperature_,search.cost(),Decibels(search.peak()),acc);
    if (search.Try()) { acc++; last=i; if (search.peak() < best) { best = search.peak(); result.taps = search.taps(); best_at=i;} }
    if (search.cost() == 0) { db -= 0.05; search.SetTarget(std::pow(10,db/20)); }
  }
  fprintf(stderr,"acc %ld last %ld best_at %g final level %.2f peak now %.2f\n",acc,(long)last,best_at,db,Decibels(search.peak()));
  result.afterDb = Decibels(best);
  return result;
}

}  // namespace trunkline::filter
