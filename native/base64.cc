#include "base64.h"

namespace trunkline {
namespace {

constexpr std::array<uint8_t, 256> MakeValueTable() {
  std::array<uint8_t, 256> table{};
  for (uint8_t& value : table) value = 0xFF;
  for (int value = 0; value < 64; ++value)
    table[static_cast<uint8_t>(kBase64Alphabet[value])] = static_cast<uint8_t>(value);
  return table;
}

}  // namespace

constexpr std::array<uint8_t, 256> kBase64Values = MakeValueTable();

ptrdiff_t DecodeBase64(const Kernels& kernels, const uint8_t* text, size_t length, uint8_t* bytes) {
  if (length % 4 != 0) return -1;
  if (length == 0) return 0;
  const size_t padding = text[length - 1] != '=' ? 0 : text[length - 2] != '=' ? 1 : 2;
  const size_t groups = length / 4 - (padding > 0 ? 1 : 0);
  if (!kernels.decodeBase64(text, groups, bytes)) return -1;
  if (padding == 0) return static_cast<ptrdiff_t>(3 * groups);

  text += 4 * groups;
  bytes += 3 * groups;
  const uint32_t a = kBase64Values[text[0]], b = kBase64Values[text[1]], c = padding == 1 ? kBase64Values[text[2]] : 0;
  const uint32_t unused = padding == 1 ? c & 3 : b & 15;
  if (((a | b | c) & kBase64InvalidBits) != 0 || unused != 0) return -1;
  bytes[0] = static_cast<uint8_t>(a << 2 | b >> 4);
  if (padding == 1) bytes[1] = static_cast<uint8_t>(b << 4 | c >> 2);
  return static_cast<ptrdiff_t>(3 * groups + 3 - padding);
}

ptrdiff_t DecodeLooseBase64(const Kernels& kernels, const uint8_t* text, size_t length, uint8_t* bytes) {
  constexpr size_t kPiece = 1024;
  uint8_t piece[kPiece];
  size_t held = 0, written = 0;
  for (const uint8_t* end = text + length; text < end; ++text) {
    if (*text == '\r' || *text == '\n' || *text == ' ') continue;
    if (held == kPiece) {
      // More comes: no padding may be in here.
      if (!kernels.decodeBase64(piece, kPiece / 4, bytes + written)) return -1;
      written += kPiece / 4 * 3;
      held = 0;
    }
    piece[held++] = *text;
  }
  // A single character too many has not the bits of a byte, and is refused with three of padding.
  while (held % 4 != 0) piece[held++] = '=';
  const ptrdiff_t rest = DecodeBase64(kernels, piece, held, bytes + written);
  return rest < 0 ? -1 : static_cast<ptrdiff_t>(written) + rest;
}

size_t EncodeBase64(const Kernels& kernels, const uint8_t* bytes, size_t count, char* text) {
  const size_t groups = count / 3;
  kernels.encodeBase64(bytes, groups, text);
  bytes += 3 * groups;
  text += 4 * groups;
  if (const size_t rest = count - 3 * groups; rest > 0) {
    const uint32_t group = uint32_t{bytes[0]} << 16 | (rest == 2 ? uint32_t{bytes[1]} << 8 : 0);
    text[0] = kBase64Alphabet[group >> 18];
    text[1] = kBase64Alphabet[group >> 12 & 63];
    text[2] = rest == 2 ? kBase64Alphabet[group >> 6 & 63] : '=';
    text[3] = '=';
  }
  return Base64Length(count);
}

}  // namespace trunkline
