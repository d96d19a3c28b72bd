// SRTP and SRTCP (RFC 3711, RFC 7714) with the keys of a DTLS handshake (RFC 5764), over the AES and SHA-1 of OpenSSL.
// No call allocates but Open.

#ifndef TRUNKLINE_NATIVE_RTC_SRTP_H_
#define TRUNKLINE_NATIVE_RTC_SRTP_H_

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace trunkline::rtc {

/// By the numbers of RFC 5764, section 4.1.2, and RFC 7714, section 14.2.
enum class SrtpProfile : uint16_t { kAes128CmSha1 = 1, kAeadAes128Gcm = 7, kAeadAes256Gcm = 8 };

/// Bytes of a profile.
struct SrtpSizes {
  size_t key;
  size_t salt;
  size_t tag;
};
SrtpSizes SizesOf(SrtpProfile profile);

/// What a call returns instead of a length.
constexpr ptrdiff_t kNotAuthentic = -1;
constexpr ptrdiff_t kReplayed = -2;  // or too old to say
constexpr ptrdiff_t kMalformed = -3;
constexpr ptrdiff_t kTooManySources = -4;
constexpr ptrdiff_t kKeyUsedUp = -5;  // RFC 3711, section 9.2

/// Of all packets of one way that a window has seen: its highest index, and which of those before were among them.
struct SrtpWindow {
  static constexpr int64_t kSize = 64;

  int64_t highest = -1;  // none yet
  uint64_t seen = 0;     // bit n: highest - n

  bool IsFresh(int64_t index) const {
    const int64_t age = highest - index;
    return age < 0 || (age < kSize && (seen >> age & 1) == 0);
  }

  void Add(int64_t index) {
    const int64_t age = highest - index;
    if (age >= 0) {
      seen |= uint64_t{1} << age;
    } else {
      seen = -age < kSize ? seen << -age | 1 : 1;
      highest = index;
    }
  }
};

/// The sources (SSRCs) of one way.
class SrtpSources {
 public:
  /// More than a call has m-lines: where one in use made room for another, its packets could be replayed, and none
  /// would be authentic once its sequence numbers have begun anew.
  static constexpr size_t kCapacity = 256;

  struct Source {
    uint32_t ssrc = 0;
    uint64_t used = 0;  // when last, counted in packets
    SrtpWindow rtp;
    SrtpWindow rtcp;
  };

  /// Null if it is unknown.
  Source* Find(uint32_t ssrc);
  /// A place for an unknown one: a free one, or that of the source that was silent longest.
  Source* Replace(uint32_t ssrc);
  bool isFull() const { return count_ == kCapacity; }
  void Use(Source* source) { source->used = ++time_; }

 private:
  std::array<Source, kCapacity> sources_;
  size_t count_ = 0;
  size_t last_ = 0;
  uint64_t time_ = 0;
};

/// The session keys of one way, for RTP or for RTCP.
class SrtpCipher {
 public:
  enum class For : uint8_t { kRtp = 0, kRtcp = 3 };

  /// Derives the session keys (RFC 3711, section 4.3). `isSender`: whether it encrypts.
  bool Open(SrtpProfile profile, For what, const uint8_t* masterKey, const uint8_t* masterSalt, bool isSender);

  /// Encrypts or decrypts in place.
  bool Crypt(uint32_t ssrc, uint64_t index, uint8_t* bytes, size_t length);
  /// The first 10 bytes of the HMAC-SHA1 of both parts.
  void Sign(const uint8_t* bytes, size_t length, const uint8_t* more, size_t moreLength, uint8_t* tag) const;

  /// AEAD in place: `iv` is made of 12 bytes by NonceOf, and the tag has 16 bytes.
  bool Seal(const uint8_t* iv, const uint8_t* clear, size_t clearLength, const uint8_t* more, size_t moreLength,
            uint8_t* bytes, size_t length, uint8_t* tag);
  /// False if it is not authentic; `bytes` then hold nothing of use.
  bool Unseal(const uint8_t* iv, const uint8_t* clear, size_t clearLength, const uint8_t* more, size_t moreLength,
              uint8_t* bytes, size_t length, uint8_t* tag);
  /// RFC 7714, sections 8.1 and 9.1.
  void NonceOf(uint32_t ssrc, uint64_t index, uint8_t* iv) const;

 private:
  bool SetKeys(SrtpProfile profile, const uint8_t* key, const uint8_t* authentication, const uint8_t* salt,
               bool isSender);

  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };

  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
  SHA_CTX inner_ = {};
  SHA_CTX outer_ = {};
  std::array<uint8_t, 14> salt_ = {};
};

/// Both ways of a session.
class Srtp {
 public:
  static constexpr size_t kMaxPacket = 65'535;

  /// @param keys the client's key, the server's, the client's salt, the server's (RFC 5764, section 4.2)
  static std::unique_ptr<Srtp> Open(SrtpProfile profile, const uint8_t* keys, bool isClient);

  SrtpProfile profile() const { return profile_; }
  /// Bytes by which RTP or RTCP grows.
  size_t rtpOverhead() const { return tag_; }
  size_t rtcpOverhead() const { return tag_ + 4; }

  /// Each works in place and returns the new length, or one of the constants above. `packet` has room for its overhead.
  ptrdiff_t ProtectRtp(uint8_t* packet, size_t length);
  ptrdiff_t UnprotectRtp(uint8_t* packet, size_t length);
  ptrdiff_t ProtectRtcp(uint8_t* packet, size_t length);
  ptrdiff_t UnprotectRtcp(uint8_t* packet, size_t length);

 private:
  struct Way {
    SrtpCipher rtp;
    SrtpCipher rtcp;
    SrtpSources sources;
  };

  explicit Srtp(SrtpProfile profile) : profile_(profile), tag_(SizesOf(profile).tag) {}
  bool isAead() const { return profile_ != SrtpProfile::kAes128CmSha1; }

  SrtpProfile profile_;
  size_t tag_;
  Way out_;
  Way in_;
};

}  // namespace trunkline::rtc

#endif  // TRUNKLINE_NATIVE_RTC_SRTP_H_
