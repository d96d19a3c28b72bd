// Base64 of RFC 4648 section 4, strict: padding required, no line breaks, no other alphabet, unused bits zero. One
// reader is less so.

#ifndef TRUNKLINE_NATIVE_BASE64_H_
#define TRUNKLINE_NATIVE_BASE64_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace trunkline {

inline constexpr char kBase64Alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The six bits of each character. One that is not of the alphabet has kBase64InvalidBits, so that one test on the
/// combined values of many finds it.
extern const std::array<uint8_t, 256> kBase64Values;
inline constexpr uint32_t kBase64InvalidBits = 0xC0;

/// Characters of the base64 text of `count` bytes.
constexpr size_t Base64Length(size_t count) { return (count + 2) / 3 * 4; }

/// Decodes `length` characters into at most length / 4 * 3 bytes. Returns the number of bytes, or -1 if the text is not
/// strict base64; `bytes` may then hold part of it.
ptrdiff_t DecodeBase64(const Kernels& kernels, const uint8_t* text, size_t length, uint8_t* bytes);

/// The same for text that may have carriage returns, line feeds and spaces anywhere, and may lack its padding.
ptrdiff_t DecodeLooseBase64(const Kernels& kernels, const uint8_t* text, size_t length, uint8_t* bytes);

/// Writes Base64Length(count) characters, without a terminator, and returns that number.
size_t EncodeBase64(const Kernels& kernels, const uint8_t* bytes, size_t count, char* text);

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_BASE64_H_
