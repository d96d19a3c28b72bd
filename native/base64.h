// Base64 of RFC 4648 section 4, strict: padding required, no line breaks, no other alphabet, unused bits zero.

#ifndef TRUNKLINE_NATIVE_BASE64_H_
#define TRUNKLINE_NATIVE_BASE64_H_

#include <cstddef>
#include <cstdint>

namespace trunkline {

/// Characters of the base64 text of `count` bytes.
constexpr size_t Base64Length(size_t count) { return (count + 2) / 3 * 4; }

/// Decodes `length` characters into at most length / 4 * 3 bytes. Returns the number of bytes, or -1 if the text is not
/// strict base64; `bytes` may then hold part of it.
ptrdiff_t DecodeBase64(const uint8_t* text, size_t length, uint8_t* bytes);

/// Writes Base64Length(count) characters, without a terminator, and returns that number.
size_t EncodeBase64(const uint8_t* bytes, size_t count, char* text);

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_BASE64_H_
