#include "g711.h"

namespace trunkline {
namespace {

constexpr std::array<int16_t, 256> MakeDecodeTable() {
  std::array<int16_t, 256> table{};
  for (int byte = 0; byte < 256; ++byte) table[byte] = MulawToLinear(static_cast<uint8_t>(byte));
  return table;
}

constexpr std::array<uint8_t, 1 << 14> MakeEncodeTable() {
  std::array<uint8_t, 1 << 14> table{};
  for (int index = 0; index < 1 << 14; ++index)
    table[index] = LinearToMulaw(index < 1 << 13 ? index : index - (1 << 14));
  return table;
}

}  // namespace

constexpr std::array<int16_t, 256> kMulawToLinear = MakeDecodeTable();
constexpr std::array<uint8_t, 1 << 14> kLinearToMulaw = MakeEncodeTable();

static_assert(kMulawToLinear[kMulawSilence] == 0 && kLinearToMulaw[0] == kMulawSilence, "silence is zero both ways");

}  // namespace trunkline
