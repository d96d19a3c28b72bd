#include "base64.h"

#include <array>

namespace trunkline {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
// A value with bits above the six of a character, so that one test on the combined value finds it.
constexpr uint32_t kInvalid = 0xFF;
constexpr uint32_t kInvalidBits = 0xC0;

constexpr std::array<uint8_t, 256> MakeValueTable() {
  std::array<uint8_t, 256> table{};
  for (uint8_t& value : table) value = kInvalid;
  for (int value = 0; value < 64; ++value) table[static_cast<uint8_t>(kAlphabet[value])] = static_cast<uint8_t>(value);
  return table;
}

constexpr auto kValues = MakeValueTable();

}  // namespace

ptrdiff_t DecodeBase64(const uint8_t* text, size_t length, uint8_t* bytes) {
  if (length % 4 != 0) return -1;
  if (length == 0) return 0;
  const size_t padding = text[length - 1] != '=' ? 0 : text[length - 2] != '=' ? 1 : 2;

  const uint8_t* const begin = bytes;
  const uint8_t* const end = text + length - (padding > 0 ? 4 : 0);
  uint32_t seen = 0;
  for (; text < end; text += 4, bytes += 3) {
    const uint32_t a = kValues[text[0]], b = kValues[text[1]], c = kValues[text[2]], d = kValues[text[3]];
    seen |= a | b | c | d;
    bytes[0] = static_cast<uint8_t>(a << 2 | b >> 4);
    bytes[1] = static_cast<uint8_t>(b << 4 | c >> 2);
    bytes[2] = static_cast<uint8_t>(c << 6 | d);
  }
  if (padding > 0) {
    const uint32_t a = kValues[text[0]], b = kValues[text[1]], c = padding == 1 ? kValues[text[2]] : 0;
    seen |= a | b | c;
    const uint32_t unused = padding == 1 ? c & 3 : b & 15;
    if (unused != 0) return -1;
    *bytes++ = static_cast<uint8_t>(a << 2 | b >> 4);
    if (padding == 1) *bytes++ = static_cast<uint8_t>(b << 4 | c >> 2);
  }
  return (seen & kInvalidBits) != 0 ? -1 : bytes - begin;
}

size_t EncodeBase64(const uint8_t* bytes, size_t count, char* text) {
  char* const begin = text;
  for (; count >= 3; count -= 3, bytes += 3) {
    const uint32_t group = uint32_t{bytes[0]} << 16 | uint32_t{bytes[1]} << 8 | bytes[2];
    *text++ = kAlphabet[group >> 18];
    *text++ = kAlphabet[group >> 12 & 63];
    *text++ = kAlphabet[group >> 6 & 63];
    *text++ = kAlphabet[group & 63];
  }
  if (count > 0) {
    const uint32_t group = uint32_t{bytes[0]} << 16 | (count == 2 ? uint32_t{bytes[1]} << 8 : 0);
    *text++ = kAlphabet[group >> 18];
    *text++ = kAlphabet[group >> 12 & 63];
    *text++ = count == 2 ? kAlphabet[group >> 6 & 63] : '=';
    *text++ = '=';
  }
  return static_cast<size_t>(text - begin);
}

}  // namespace trunkline
