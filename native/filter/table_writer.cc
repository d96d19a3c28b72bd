#include "table_writer.h"

namespace trunkline::filter {
namespace {

void WriteRow(const Taps& taps, int row, std::FILE* out) {
  for (int p = 0; p < kRatio; ++p)
    std::fprintf(out, "%s%6d", p == 0 ? "    {" : ", ", taps.values[row * kRatio + p]);
  std::fprintf(out, "},\n");
}

void WriteGroup(const Taps& taps, const RowGroup& group, std::FILE* out) {
  std::fprintf(out, "    // rows %d to %d: Q%d\n", group.firstRow, group.endRow - 1, group.scale);
  for (int row = group.firstRow; row < group.endRow; ++row) WriteRow(taps, row, out);
}

}  // namespace

void WriteTable(const Taps& taps, std::FILE* out) {
  const bool up = taps.direction == Direction::kUp;
  std::fprintf(out, "inline constexpr int16_t %s[kTapRows][kRatio] = {\n", up ? "kUpTaps" : "kDownTaps");
  if (up) {
    for (const RowGroup& group : kUpGroups) WriteGroup(taps, group, out);
  } else {
    for (const RowGroup& group : kDownGroups) WriteGroup(taps, group, out);
  }
  std::fprintf(out, "};\n");
}

}  // namespace trunkline::filter
