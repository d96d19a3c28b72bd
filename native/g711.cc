#include "g711.h"

namespace trunkline {
namespace {

template <class Decode>
constexpr std::array<int16_t, 256> MakeDecodeTable(Decode decode) {
  std::array<int16_t, 256> table{};
  for (int byte = 0; byte < 256; ++byte) table[byte] = decode(static_cast<uint8_t>(byte));
  return table;
}

/// Indexed in two's complement: the negative half follows the positive one.
template <int kBits, class Encode>
constexpr std::array<uint8_t, 1 << kBits> MakeEncodeTable(Encode encode) {
  constexpr int kSize = 1 << kBits;
  std::array<uint8_t, kSize> table{};
  for (int index = 0; index < kSize; ++index) table[index] = encode(index < kSize / 2 ? index : index - kSize);
  return table;
}

}  // namespace

constexpr std::array<int16_t, 256> kMulawToLinear = MakeDecodeTable(MulawToLinear);
constexpr std::array<uint8_t, 1 << 14> kLinearToMulaw = MakeEncodeTable<14>(LinearToMulaw);
constexpr std::array<int16_t, 256> kAlawToLinear = MakeDecodeTable(AlawToLinear);
constexpr std::array<uint8_t, 1 << 12> kLinearToAlaw = MakeEncodeTable<12>(LinearToAlaw);

static_assert(kMulawToLinear[kMulawSilence] == 0 && kLinearToMulaw[0] == kMulawSilence, "silence is zero both ways");

}  // namespace trunkline
