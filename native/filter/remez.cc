#include "remez.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <utility>

#include "band.h"

namespace trunkline::filter {
namespace {

static_assert(std::numeric_limits<long double>::digits >= 64,
              "a stop band of 1e-10 beside a pass band of 1 needs more than the 53 bits of a double");

// Grid points for each coefficient, of which there is one a ripple. Even the narrow ripples at the band edges then rise
// by no more than 0.3 % between two points.
constexpr int kGridDensity = 64;
constexpr int kMaxExchanges = 60;
constexpr long double kTolerance = 1e-4L;
// Up to this many coefficients, evenly spread points are a good enough start.
constexpr int kEasyCount = 39;

const long double kTurn = 2 * std::acos(-1.0L);

/// A point of the frequency axis with what is wanted there. x = cos w makes the cosine polynomial an ordinary one.
struct GridPoint {
  double frequency;
  long double x;
  long double wanted;
  long double weight;
};

/// The alternation points by band; frequencies, so that they carry over to another grid.
struct Reference {
  std::vector<double> pass;
  std::vector<double> stop;
};

/// A polynomial given by its values at some points, evaluated by the barycentric formula.
class Interpolation {
 public:
  Interpolation(std::vector<long double> nodes, std::vector<long double> weights)
      : nodes_(std::move(nodes)), weights_(std::move(weights)), values_(nodes_.size()) {}

  void SetValue(size_t i, long double value) { values_[i] = value; }

  long double operator()(long double x) const {
    long double numerator = 0;
    long double denominator = 0;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (x == nodes_[i]) return values_[i];
      const long double share = weights_[i] / (x - nodes_[i]);
      numerator += share * values_[i];
      denominator += share;
    }
    return numerator / denominator;
  }

 private:
  std::vector<long double> nodes_;
  std::vector<long double> weights_;
  std::vector<long double> values_;
};

/// 1 / product of 2 (x_i - x_j). The factor 2 keeps the products near 1 for points spread over [-1, 1].
std::vector<long double> BarycentricWeights(const std::vector<long double>& nodes) {
  std::vector<long double> weights(nodes.size(), 1);
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (size_t j = 0; j < nodes.size(); ++j)
      if (j != i) weights[i] *= 2 * (nodes[i] - nodes[j]);
    weights[i] = 1 / weights[i];
  }
  return weights;
}

std::vector<double> Spread(double first, double last, size_t count) {
  std::vector<double> points(count);
  for (size_t i = 0; i < count; ++i)
    points[i] = first + (last - first) * static_cast<double>(i) / static_cast<double>(count - 1);
  return points;
}

/// Reads `points` as a curve over its index and takes `count` samples of it: same density, another number.
std::vector<double> Resample(const std::vector<double>& points, size_t count) {
  std::vector<double> samples = Spread(0, static_cast<double>(points.size() - 1), count);
  for (double& sample : samples) {
    const size_t i = std::min(static_cast<size_t>(sample), points.size() - 2);
    sample = points[i] + (sample - static_cast<double>(i)) * (points[i + 1] - points[i]);
  }
  return samples;
}

class Exchange {
 public:
  Exchange(int coefficientCount, const LowPass& wanted);

  /// Starts from evenly spread points, or from those of a smaller design.
  void Begin();
  void Begin(const Reference& smaller);

  void Run();

  Reference reference() const;
  Polynomial polynomial() const;

 private:
  size_t referenceSize() const { return count_ + 1; }

  void AddBand(double first, double last, double spacing, long double wanted, long double weight);
  size_t NearestInBand(double frequency) const;
  Interpolation Fit();
  std::vector<long double> Errors(const Interpolation& fit) const;
  std::vector<size_t> Peaks(const std::vector<long double>& errors) const;
  void AddPeaks(const std::vector<long double>& errors, size_t begin, size_t end, std::vector<size_t>* peaks) const;
  void Thin(const std::vector<long double>& errors, std::vector<size_t>* peaks) const;

  size_t count_;
  LowPass wanted_;
  std::vector<GridPoint> grid_;
  size_t stopBegin_ = 0;           // first grid point of the stop band
  std::vector<size_t> reference_;  // grid points where the error shall alternate
  long double deviation_ = 0;      // error at the reference
};

Exchange::Exchange(int coefficientCount, const LowPass& wanted)
    : count_(static_cast<size_t>(coefficientCount)), wanted_(wanted) {
  const double width = wanted.passEdge + kNyquist - wanted.stopEdge;
  const double spacing = width / (coefficientCount * kGridDensity);
  AddBand(0, wanted.passEdge, spacing, 1, 1);
  stopBegin_ = grid_.size();
  AddBand(wanted.stopEdge, kNyquist, spacing, 0, wanted.stopWeight);
}

void Exchange::AddBand(double first, double last, double spacing, long double wanted, long double weight) {
  const size_t points = static_cast<size_t>((last - first) / spacing) + 2;
  for (const double f : Spread(first, last, points))
    grid_.push_back({f, std::cos(kTurn * f / static_cast<long double>(kSampleRate)), wanted, weight});
}

void Exchange::Begin() {
  reference_.clear();
  for (const double i : Spread(0, static_cast<double>(grid_.size() - 1), referenceSize()))
    reference_.push_back(static_cast<size_t>(std::lround(i)));
}

void Exchange::Begin(const Reference& smaller) {
  const double share = static_cast<double>(smaller.pass.size()) /
                       static_cast<double>(smaller.pass.size() + smaller.stop.size());
  const size_t passCount = static_cast<size_t>(std::lround(share * static_cast<double>(referenceSize())));
  reference_.clear();
  for (const double f : Resample(smaller.pass, passCount)) reference_.push_back(NearestInBand(f));
  for (const double f : Resample(smaller.stop, referenceSize() - passCount)) reference_.push_back(NearestInBand(f));
  if (std::adjacent_find(reference_.begin(), reference_.end()) != reference_.end())
    throw std::runtime_error("remez: two starting points fell on one grid point");
}

/// The grid point nearest to a frequency, which lies in one of the two bands.
size_t Exchange::NearestInBand(double frequency) const {
  const auto begin = grid_.begin() + (frequency > wanted_.passEdge ? static_cast<ptrdiff_t>(stopBegin_) : 0);
  const auto end = frequency > wanted_.passEdge ? grid_.end() : grid_.begin() + static_cast<ptrdiff_t>(stopBegin_);
  const auto nearest = std::min_element(begin, end, [frequency](const GridPoint& a, const GridPoint& b) {
    return std::abs(a.frequency - frequency) < std::abs(b.frequency - frequency);
  });
  return static_cast<size_t>(nearest - grid_.begin());
}

void Exchange::Run() {
  for (int i = 0; i < kMaxExchanges; ++i) {
    const std::vector<long double> errors = Errors(Fit());
    long double largest = 0;
    for (const long double error : errors) largest = std::max(largest, std::abs(error));
    if (largest < std::abs(deviation_) * (1 + kTolerance)) return;
    reference_ = Peaks(errors);
  }
  throw std::runtime_error("remez: no convergence");
}

/// The polynomial whose error has one magnitude and alternating signs at the reference.
Interpolation Exchange::Fit() {
  std::vector<long double> nodes;
  for (const size_t i : reference_) nodes.push_back(grid_[i].x);
  const std::vector<long double> weights = BarycentricWeights(nodes);

  long double numerator = 0;
  long double denominator = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const GridPoint& point = grid_[reference_[i]];
    numerator += weights[i] * point.wanted;
    denominator += (i % 2 == 0 ? weights[i] : -weights[i]) / point.weight;
  }
  deviation_ = numerator / denominator;

  Interpolation fit(nodes, weights);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const GridPoint& point = grid_[reference_[i]];
    fit.SetValue(i, point.wanted - (i % 2 == 0 ? deviation_ : -deviation_) / point.weight);
  }
  return fit;
}

std::vector<long double> Exchange::Errors(const Interpolation& fit) const {
  std::vector<long double> errors;
  errors.reserve(grid_.size());
  for (const GridPoint& point : grid_) errors.push_back(point.weight * (point.wanted - fit(point.x)));
  return errors;
}

/// The next reference: as many peaks of alternating sign as it takes, the largest there are.
std::vector<size_t> Exchange::Peaks(const std::vector<long double>& errors) const {
  std::vector<size_t> peaks;
  AddPeaks(errors, 0, stopBegin_, &peaks);
  AddPeaks(errors, stopBegin_, errors.size(), &peaks);
  Thin(errors, &peaks);
  if (peaks.size() < referenceSize()) throw std::runtime_error("remez: the error does not alternate often enough");
  return peaks;
}

/// Appends the band's peaks; of neighbours with equal sign only the larger stays.
void Exchange::AddPeaks(const std::vector<long double>& errors, size_t begin, size_t end,
                        std::vector<size_t>* peaks) const {
  for (size_t i = begin; i < end; ++i) {
    const long double sign = errors[i] < 0 ? -1 : 1;
    const long double height = sign * errors[i];
    if (i > begin && sign * errors[i - 1] > height) continue;
    if (i + 1 < end && sign * errors[i + 1] > height) continue;
    if (peaks->empty() || sign * errors[peaks->back()] < 0) {
      peaks->push_back(i);
    } else if (height > sign * errors[peaks->back()]) {
      peaks->back() = i;
    }
  }
}

/// Removes surplus peaks: an end, or a pair of neighbours, since a single one inside would break the alternation.
void Exchange::Thin(const std::vector<long double>& errors, std::vector<size_t>* peaks) const {
  const auto height = [&](size_t i) { return std::abs(errors[(*peaks)[i]]); };
  while (peaks->size() > referenceSize()) {
    const size_t last = peaks->size() - 1;
    const size_t lowEnd = height(0) < height(last) ? 0 : last;
    size_t lowPair = 0;
    const auto pairHeight = [&](size_t i) { return std::max(height(i), height(i + 1)); };
    for (size_t i = 1; i < last; ++i)
      if (pairHeight(i) < pairHeight(lowPair)) lowPair = i;

    const bool single = peaks->size() == referenceSize() + 1 || height(lowEnd) < pairHeight(lowPair);
    const auto from = peaks->begin() + static_cast<ptrdiff_t>(single ? lowEnd : lowPair);
    peaks->erase(from, from + (single ? 1 : 2));
  }
}

Reference Exchange::reference() const {
  Reference result;
  for (const size_t i : reference_) (i < stopBegin_ ? result.pass : result.stop).push_back(grid_[i].frequency);
  return result;
}

/// The coefficients follow from as many evenly spaced values by the inverse transform of a symmetric sequence.
Polynomial Exchange::polynomial() const {
  Exchange copy = *this;
  const Interpolation fit = copy.Fit();
  const size_t period = 2 * count_ - 1;
  std::vector<long double> circle(period);
  for (size_t k = 0; k < period; ++k) circle[k] = std::cos(kTurn * k / static_cast<long double>(period));

  std::vector<long double> values(count_);
  for (size_t k = 0; k < count_; ++k) values[k] = fit(circle[k]);

  Polynomial result;
  for (size_t k = 0; k < count_; ++k) {
    long double sum = values[0];
    for (size_t m = 1; m < count_; ++m) sum += 2 * values[m] * circle[k * m % period];
    result.coefficients.push_back(sum / static_cast<long double>(period));
  }
  result.stopError = std::abs(copy.deviation_) / wanted_.stopWeight;
  return result;
}

/// Evenly spread points are too bad a start for many coefficients. A design of half the size has its points where the
/// large one will have them, at half the density.
Exchange Solve(int coefficientCount, const LowPass& wanted) {
  Exchange exchange(coefficientCount, wanted);
  if (coefficientCount <= kEasyCount) {
    exchange.Begin();
  } else {
    exchange.Begin(Solve(coefficientCount / 2, wanted).reference());
  }
  exchange.Run();
  return exchange;
}

}  // namespace

Polynomial DesignLowPass(int coefficientCount, const LowPass& wanted) {
  return Solve(coefficientCount, wanted).polynomial();
}

}  // namespace trunkline::filter
