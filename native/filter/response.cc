#include "response.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <utility>

#include "band.h"

namespace trunkline::filter {
namespace {

// Side lobes of 312 taps are 150 Hz wide: a grid this fine meets each of them many times.
constexpr double kGridSpacing = 1;

using Complex = std::complex<double>;

Complex UnitPhasor(double frequency) {
  static const double kTurn = 2 * std::acos(-1.0);
  return std::polar(1.0, -kTurn * frequency / kSampleRate);
}

double GainDb(const std::vector<double>& impulse, double frequency) {
  const Complex z = UnitPhasor(frequency);
  Complex sum = 0;
  for (size_t n = impulse.size(); n-- > 0;) sum = sum * z + impulse[n];
  return 20 * std::log10(std::abs(sum));
}

double GroupDelayMs(const std::vector<double>& impulse, double frequency) {
  const Complex z = UnitPhasor(frequency);
  Complex sum = 0;
  Complex moment = 0;
  for (size_t n = impulse.size(); n-- > 0;) {
    sum = sum * z + impulse[n];
    moment = moment * z + impulse[n] * static_cast<double>(n);
  }
  return (moment / sum).real() / kSampleRate * 1000;
}

/// The top of a function that has one peak between `low` and `high`, by golden section.
template <typename Function>
double RefinePeak(const Function& value, double low, double high) {
  const double ratio = (std::sqrt(5.0) - 1) / 2;
  while (high - low > 1e-4) {
    const double step = ratio * (high - low);
    if (value(high - step) > value(low + step)) {
      high = low + step;
    } else {
      low = high - step;
    }
  }
  return value((low + high) / 2);
}

/// The largest value from `low` to `high`, both included.
template <typename Function>
double Largest(const Function& value, double low, double high) {
  const int intervals = static_cast<int>(std::ceil((high - low) / kGridSpacing));
  const auto frequency = [&](int i) { return low + (high - low) * i / intervals; };
  std::vector<double> grid;
  for (int i = 0; i <= intervals; ++i) grid.push_back(value(frequency(i)));

  double largest = std::max(grid.front(), grid.back());
  for (int i = 1; i < intervals; ++i)
    if (grid[i] >= grid[i - 1] && grid[i] >= grid[i + 1])
      largest = std::max(largest, RefinePeak(value, frequency(i - 1), frequency(i + 1)));
  return largest;
}

/// The phone band on both sides of each multiple of 8 kHz.
std::vector<std::pair<double, double>> ImageBands() {
  std::vector<std::pair<double, double>> bands;
  for (double centre = kPhoneRate; centre <= kNyquist; centre += kPhoneRate) {
    bands.emplace_back(centre - kPassEdge, centre - kPhoneFloor);
    if (centre < kNyquist) bands.emplace_back(centre + kPhoneFloor, centre + kPassEdge);
  }
  return bands;
}

/// Between the bands the gain only falls.
double HalfPowerFrequency(const std::vector<double>& impulse) {
  double above = kPassEdge;
  double below = kStopEdge;
  while (below - above > 1e-3) {
    const double middle = (above + below) / 2;
    (GainDb(impulse, middle) > -10 * std::log10(2.0) ? above : below) = middle;
  }
  return above;
}

}  // namespace

Response MeasureResponse(const std::vector<double>& impulse) {
  const auto gain = [&](double f) { return GainDb(impulse, f); };
  const auto deviation = [&](double f) { return std::abs(GainDb(impulse, f)); };
  Response response{};
  response.rippleDb = Largest(deviation, 0, kPassEdge);
  response.stopDb = Largest(gain, kStopEdge, kNyquist);
  response.imageDb = -INFINITY;
  for (const auto& [low, high] : ImageBands()) response.imageDb = std::max(response.imageDb, Largest(gain, low, high));
  response.halfPowerHz = HalfPowerFrequency(impulse);
  for (size_t i = 0; i < kDelayFrequencies.size(); ++i)
    response.delayMs[i] = GroupDelayMs(impulse, kDelayFrequencies[i]);
  return response;
}

}  // namespace trunkline::filter
