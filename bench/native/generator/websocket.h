// The client's part of RFC 6455 that a phone needs: the accept key, masked frames out, whole frames in.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace generator {

enum Opcode : uint8_t { kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

/** Header and mask of the longest frame written here (less than 64 KiB). */
constexpr size_t kMaxHeader = 8;

inline std::string Base64(const uint8_t* data, size_t length) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < length; i += 3) {
    const size_t rest = length - i;
    const uint32_t bits =
        static_cast<uint32_t>(data[i]) << 16 | (rest > 1 ? data[i + 1] << 8 : 0) | (rest > 2 ? data[i + 2] : 0);
    text += kDigits[bits >> 18];
    text += kDigits[bits >> 12 & 63];
    text += rest > 1 ? kDigits[bits >> 6 & 63] : '=';
    text += rest > 2 ? kDigits[bits & 63] : '=';
  }
  return text;
}

inline int Base64Digit(char digit) {
  return digit >= 'a'   ? digit - 'a' + 26
         : digit >= 'A' ? digit - 'A'
         : digit >= '0' ? digit - '0' + 52
         : digit == '+' ? 62
                        : 63;
}

/** FIPS 180-4. */
inline std::array<uint8_t, 20> Sha1(std::string text) {
  const auto rotate = [](uint32_t value, int by) { return value << by | value >> (32 - by); };
  uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  const uint64_t bits = uint64_t{text.size()} * 8;
  text += '\x80';
  while (text.size() % 64 != 56) text += '\0';
  for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(bits >> shift);
  for (size_t block = 0; block < text.size(); block += 64) {
    uint32_t w[80];
    for (size_t i = 0; i < 16; ++i) {
      w[i] = 0;
      for (size_t k = 0; k < 4; ++k) w[i] = w[i] << 8 | static_cast<uint8_t>(text[block + 4 * i + k]);
    }
    for (size_t i = 16; i < 80; ++i) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (size_t i = 0; i < 80; ++i) {
      const uint32_t f = i < 20   ? (b & c) | (~b & d)
                         : i < 40 ? b ^ c ^ d
                         : i < 60 ? (b & c) | (b & d) | (c & d)
                                  : b ^ c ^ d;
      static constexpr uint32_t kRound[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
      const uint32_t next = rotate(a, 5) + f + e + kRound[i / 20] + w[i];
      e = d;
      d = c;
      c = rotate(b, 30);
      b = a;
      a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
  }
  std::array<uint8_t, 20> digest;
  for (size_t i = 0; i < 20; ++i) digest[i] = static_cast<uint8_t>(h[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

/** What a server must answer to `Sec-WebSocket-Key`. */
inline std::string AcceptOf(const std::string& key) {
  const auto digest = Sha1(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  return Base64(digest.data(), digest.size());
}

/**
 * Makes a masked frame of `length` (below 64 KiB) bytes that stand at `at + kMaxHeader`.
 * @returns where it begins; it ends with those bytes
 */
inline uint8_t* Seal(uint8_t* at, Opcode opcode, size_t length, uint32_t mask) {
  uint8_t* payload = at + kMaxHeader;
  uint8_t* begin = payload - (length < 126 ? 6 : 8);
  begin[0] = static_cast<uint8_t>(0x80 | opcode);
  if (length < 126) {
    begin[1] = static_cast<uint8_t>(0x80 | length);
  } else {
    begin[1] = 0x80 | 126;
    begin[2] = static_cast<uint8_t>(length >> 8);
    begin[3] = static_cast<uint8_t>(length);
  }
  std::memcpy(payload - 4, &mask, 4);
  const uint64_t wide = uint64_t{mask} << 32 | mask;
  size_t i = 0;
  for (; i + 8 <= length; i += 8) {
    uint64_t word;
    std::memcpy(&word, payload + i, 8);
    word ^= wide;
    std::memcpy(payload + i, &word, 8);
  }
  for (; i < length; ++i) payload[i] ^= static_cast<uint8_t>(wide >> 8 * (i % 8));
  return begin;
}

/** A frame of the server's; `payload` points into what was read. */
struct Frame {
  uint8_t opcode;
  const char* payload;
  size_t length;
  /** Header and payload. */
  size_t size;
};

enum class Read { kWhole, kPart, kBroken };

/** Reads the frame at the beginning of `data`. Fragments, extensions and masks are not for this client. */
inline Read ReadFrame(const char* data, size_t available, Frame* frame) {
  if (available < 2) return Read::kPart;
  const auto byte = [data](size_t i) { return static_cast<uint8_t>(data[i]); };
  if ((byte(0) & 0xf0) != 0x80 || (byte(1) & 0x80) != 0) return Read::kBroken;
  size_t header = 2;
  size_t length = byte(1);
  if (length == 127) return Read::kBroken;
  if (length == 126) {
    header = 4;
    if (available < header) return Read::kPart;
    length = static_cast<size_t>(byte(2)) << 8 | byte(3);
  }
  if (available < header + length) return Read::kPart;
  *frame = {static_cast<uint8_t>(byte(0) & 15), data + header, length, header + length};
  return Read::kWhole;
}

}  // namespace generator
