#include "report.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "headroom.h"
#include "response.h"

namespace trunkline::filter {
namespace {

constexpr double kMaxRippleDb = 0.01;
constexpr double kMaxStopDb = -94;
constexpr double kMaxDelayMsAt1000 = 0.35;
constexpr double kMaxDelayMsAt3400 = 1.6;
// -32768 is left out: two products of it with itself, added in pairs as SIMD does, overflow an int32.
constexpr int kMaxMagnitude = 32767;

struct Line {
  std::string name;
  const char* format;
  std::optional<double> up;
  std::optional<double> down;
  std::optional<double> bar;  // the largest value allowed
  bool strict = false;        // the bar itself is a miss
};

bool Misses(const Line& line, const std::optional<double>& value) {
  if (!line.bar || !value) return false;
  return !(line.strict ? *value < *line.bar : *value <= *line.bar);
}

std::string Text(const char* format, const std::optional<double>& value) {
  if (!value) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), format, *value);
  return text;
}

std::optional<double> DelayBar(int frequency) {
  if (frequency == 1000) return kMaxDelayMsAt1000;
  if (frequency == 3400) return kMaxDelayMsAt3400;
  return std::nullopt;
}

int InexactSums(const Taps& taps) {
  int count = 0;
  for (int c = 0; c < SumClassCount(taps.direction); ++c) count += ExcessOf(taps, c) != 0;
  return count;
}

std::vector<Line> Measure(const Taps& up, const Taps& down) {
  const Response x6 = MeasureResponse(ImpulseResponse(up));
  const Response d6 = MeasureResponse(ImpulseResponse(down));
  std::vector<Line> lines = {
      {"ripple, 0-3400 Hz (dB)", "%.4f", x6.rippleDb, d6.rippleDb, kMaxRippleDb},
      {"stop, from 4000 Hz (dB)", "%.2f", x6.stopDb, d6.stopDb, kMaxStopDb},
      {"image or alias of 300-3400 Hz (dB)", "%.2f", x6.imageDb, d6.imageDb, kMaxStopDb},
      {"-3 dB point (Hz)", "%.1f", x6.halfPowerHz, d6.halfPowerHz, std::nullopt},
  };
  for (size_t i = 0; i < kDelayFrequencies.size(); ++i)
    lines.push_back({"group delay at " + std::to_string(kDelayFrequencies[i]) + " Hz (ms)", "%.3f", x6.delayMs[i],
                     d6.delayMs[i], DelayBar(kDelayFrequencies[i])});
  const DownBounds bounds = BoundDown(down);
  lines.push_back({"sums that are not exactly 1", "%.0f", InexactSums(up), InexactSums(down), 0});
  lines.push_back({"x6 accumulator / 2^31", "%.3f", UpBound(up), std::nullopt, 1, true});
  lines.push_back({"/6 worst partial sum / 2^31", "%.3f", std::nullopt, bounds.partial, 1, true});
  lines.push_back({"/6 total / 2^31", "%.3f", std::nullopt, bounds.total, 1, true});
  lines.push_back({"largest tap", "%.0f", LargestMagnitude(up), LargestMagnitude(down), kMaxMagnitude});
  return lines;
}

}  // namespace

bool Report(const Taps& up, const Taps& down, std::FILE* out) {
  bool good = true;
  std::fprintf(out, "%-36s%10s%10s%12s\n", "", "x6", "/6", "bar");
  for (const Line& line : Measure(up, down)) {
    const bool missed = Misses(line, line.up) || Misses(line, line.down);
    const std::string bar = line.bar ? (line.strict ? "< " : "<= ") + Text("%g", line.bar) : "";
    std::fprintf(out, "%-36s%10s%10s%12s%s\n", line.name.c_str(), Text(line.format, line.up).c_str(),
                 Text(line.format, line.down).c_str(), bar.c_str(), missed ? "  MISSED" : "");
    good = good && !missed;
  }
  return good;
}

}  // namespace trunkline::filter
