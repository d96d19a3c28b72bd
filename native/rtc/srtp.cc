#include "srtp.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <cstring>
#include <utility>

namespace trunkline::rtc {
namespace {

constexpr size_t kRtpHeader = 12;
constexpr size_t kRtcpHeader = 8;
constexpr size_t kNonce = 12;
constexpr size_t kIndex = 4;  // bytes of the index of SRTCP
constexpr uint32_t kEncrypted = 0x80000000;
constexpr int64_t kMaxRtpIndex = (int64_t{1} << 48) - 1;
constexpr int64_t kMaxRtcpIndex = (int64_t{1} << 31) - 1;

uint32_t Read16(const uint8_t* at) { return uint32_t{at[0]} << 8 | at[1]; }
uint32_t Read32(const uint8_t* at) { return Read16(at) << 16 | Read16(at + 2); }

void Write32(uint8_t* at, uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

/// Bytes of the header of an RTP packet with its extension, which stay in the clear; 0 if it is none.
size_t RtpHeader(const uint8_t* packet, size_t length) {
  if (length < kRtpHeader || packet[0] >> 6 != 2) return 0;
  size_t header = kRtpHeader + 4 * (packet[0] & 15);
  if ((packet[0] & 16) != 0) {
    if (length < header + 4) return 0;
    header += 4 + 4 * Read16(packet + header + 2);
  }
  return header <= length ? header : 0;
}

/// The index of a packet by its sequence number (RFC 3711, section 3.3.1); negative if there is none such.
int64_t IndexOf(const SrtpWindow& window, uint32_t sequence) {
  if (window.highest < 0) return sequence;
  return window.highest + static_cast<int16_t>(sequence - static_cast<uint32_t>(window.highest));
}

const EVP_CIPHER* CounterMode(size_t key) { return key == 32 ? EVP_aes_256_ctr() : EVP_aes_128_ctr(); }

/// Whether OpenSSL could. What went wrong is not left to Node, which would take it for its own.
bool Succeeded(bool ok) {
  if (!ok) ERR_clear_error();
  return ok;
}

}  // namespace

SrtpSizes SizesOf(SrtpProfile profile) {
  switch (profile) {
    case SrtpProfile::kAeadAes128Gcm: return {16, 12, 16};
    case SrtpProfile::kAeadAes256Gcm: return {32, 12, 16};
    default: return {16, 14, 10};
  }
}

// ---- Sources ----

SrtpSources::Source* SrtpSources::Find(uint32_t ssrc) {
  if (last_ < count_ && sources_[last_].ssrc == ssrc) return &sources_[last_];
  for (size_t i = 0; i < count_; ++i) {
    if (sources_[i].ssrc != ssrc) continue;
    last_ = i;
    return &sources_[i];
  }
  return nullptr;
}

SrtpSources::Source* SrtpSources::Replace(uint32_t ssrc) {
  size_t at = count_;
  if (isFull()) {
    at = 0;
    for (size_t i = 1; i < count_; ++i)
      if (sources_[i].used < sources_[at].used) at = i;
  } else {
    ++count_;
  }
  sources_[at] = {};
  sources_[at].ssrc = ssrc;
  return &sources_[at];
}

// ---- Ciphers ----

bool SrtpCipher::Open(SrtpProfile profile, For what, const uint8_t* masterKey, const uint8_t* masterSalt,
                      bool isSender) {
  const SrtpSizes sizes = SizesOf(profile);
  std::unique_ptr<EVP_CIPHER_CTX, Free> generator(EVP_CIPHER_CTX_new());
  uint8_t derived[3][32] = {};
  const size_t lengths[3] = {sizes.key, 20, sizes.salt};
  bool ok = generator != nullptr;
  for (uint8_t i = 0; ok && i < 3; ++i) {
    // A shorter salt is padded at its end (RFC 7714, section 11); the label is above 48 bits of index, which is 0.
    uint8_t iv[16] = {};
    std::memcpy(iv, masterSalt, sizes.salt);
    iv[7] ^= static_cast<uint8_t>(static_cast<uint8_t>(what) + i);
    int written = 0;
    ok = EVP_EncryptInit_ex(generator.get(), CounterMode(sizes.key), nullptr, masterKey, iv) == 1 &&
         EVP_EncryptUpdate(generator.get(), derived[i], &written, derived[i], static_cast<int>(lengths[i])) == 1;
  }
  ok = ok && SetKeys(profile, derived[0], derived[1], derived[2], isSender);
  OPENSSL_cleanse(derived, sizeof derived);
  return Succeeded(ok);
}

bool SrtpCipher::SetKeys(SrtpProfile profile, const uint8_t* key, const uint8_t* authentication, const uint8_t* salt,
                         bool isSender) {
  const SrtpSizes sizes = SizesOf(profile);
  std::memcpy(salt_.data(), salt, sizes.salt);
  context_.reset(EVP_CIPHER_CTX_new());
  if (!context_) return Succeeded(false);
  if (profile != SrtpProfile::kAes128CmSha1) {
    const EVP_CIPHER* cipher = sizes.key == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
    return Succeeded(EVP_CipherInit_ex(context_.get(), cipher, nullptr, key, nullptr, isSender ? 1 : 0) == 1);
  }
  // HMAC (RFC 2104): what both hashes are after the padded key, which is the same for each packet.
  uint8_t pad[SHA_CBLOCK];
  for (const auto& [state, byte] : {std::pair{&inner_, 0x36}, std::pair{&outer_, 0x5c}}) {
    for (size_t i = 0; i < sizeof pad; ++i) pad[i] = static_cast<uint8_t>((i < 20 ? authentication[i] : 0) ^ byte);
    SHA1_Init(state);
    SHA1_Update(state, pad, sizeof pad);
  }
  OPENSSL_cleanse(pad, sizeof pad);
  // The counter mode encrypts both ways.
  return Succeeded(EVP_EncryptInit_ex(context_.get(), CounterMode(sizes.key), nullptr, key, nullptr) == 1);
}

bool SrtpCipher::Crypt(uint32_t ssrc, uint64_t index, uint8_t* bytes, size_t length) {
  uint8_t iv[16] = {};  // RFC 3711, section 4.1.1
  std::memcpy(iv, salt_.data(), salt_.size());
  uint8_t number[10];
  Write32(number, ssrc);
  Write32(number + 4, static_cast<uint32_t>(index >> 16));
  number[8] = static_cast<uint8_t>(index >> 8);
  number[9] = static_cast<uint8_t>(index);
  for (size_t i = 0; i < sizeof number; ++i) iv[4 + i] ^= number[i];
  int written = 0;
  return Succeeded(EVP_EncryptInit_ex(context_.get(), nullptr, nullptr, nullptr, iv) == 1 &&
                   EVP_EncryptUpdate(context_.get(), bytes, &written, bytes, static_cast<int>(length)) == 1);
}

void SrtpCipher::Sign(const uint8_t* bytes, size_t length, const uint8_t* more, size_t moreLength, uint8_t* tag) const {
  uint8_t digest[SHA_DIGEST_LENGTH];
  SHA_CTX state = inner_;
  SHA1_Update(&state, bytes, length);
  SHA1_Update(&state, more, moreLength);
  SHA1_Final(digest, &state);
  state = outer_;
  SHA1_Update(&state, digest, sizeof digest);
  SHA1_Final(digest, &state);
  std::memcpy(tag, digest, 10);
}

void SrtpCipher::NonceOf(uint32_t ssrc, uint64_t index, uint8_t* iv) const {
  std::memcpy(iv, salt_.data(), kNonce);
  uint8_t number[10];
  Write32(number, ssrc);
  number[4] = static_cast<uint8_t>(index >> 40);
  number[5] = static_cast<uint8_t>(index >> 32);
  Write32(number + 6, static_cast<uint32_t>(index));
  for (size_t i = 0; i < sizeof number; ++i) iv[2 + i] ^= number[i];
}

bool SrtpCipher::Seal(const uint8_t* iv, const uint8_t* clear, size_t clearLength, const uint8_t* more,
                      size_t moreLength, uint8_t* bytes, size_t length, uint8_t* tag) {
  EVP_CIPHER_CTX* context = context_.get();
  int written = 0;
  return Succeeded(
      EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, iv) == 1 &&
      EVP_EncryptUpdate(context, nullptr, &written, clear, static_cast<int>(clearLength)) == 1 &&
      (moreLength == 0 || EVP_EncryptUpdate(context, nullptr, &written, more, static_cast<int>(moreLength)) == 1) &&
      (length == 0 || EVP_EncryptUpdate(context, bytes, &written, bytes, static_cast<int>(length)) == 1) &&
      EVP_EncryptFinal_ex(context, tag, &written) == 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1);
}

bool SrtpCipher::Unseal(const uint8_t* iv, const uint8_t* clear, size_t clearLength, const uint8_t* more,
                        size_t moreLength, uint8_t* bytes, size_t length, uint8_t* tag) {
  EVP_CIPHER_CTX* context = context_.get();
  int written = 0;
  uint8_t rest[16];
  return Succeeded(
      EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, iv) == 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1 &&
      EVP_DecryptUpdate(context, nullptr, &written, clear, static_cast<int>(clearLength)) == 1 &&
      (moreLength == 0 || EVP_DecryptUpdate(context, nullptr, &written, more, static_cast<int>(moreLength)) == 1) &&
      (length == 0 || EVP_DecryptUpdate(context, bytes, &written, bytes, static_cast<int>(length)) == 1) &&
      EVP_DecryptFinal_ex(context, rest, &written) == 1);
}

// ---- The session ----

std::unique_ptr<Srtp> Srtp::Open(SrtpProfile profile, const uint8_t* keys, bool isClient) {
  const SrtpSizes sizes = SizesOf(profile);
  std::unique_ptr<Srtp> session(new Srtp(profile));
  const auto open = [&](Way* way, bool isClients, bool isSender) {
    const uint8_t* key = keys + (isClients ? 0 : sizes.key);
    const uint8_t* salt = keys + 2 * sizes.key + (isClients ? 0 : sizes.salt);
    return way->rtp.Open(profile, SrtpCipher::For::kRtp, key, salt, isSender) &&
           way->rtcp.Open(profile, SrtpCipher::For::kRtcp, key, salt, isSender);
  };
  if (!open(&session->out_, isClient, true) || !open(&session->in_, !isClient, false)) return nullptr;
  return session;
}

ptrdiff_t Srtp::ProtectRtp(uint8_t* packet, size_t length) {
  const size_t header = RtpHeader(packet, length);
  if (header == 0 || length > kMaxPacket) return kMalformed;
  const uint32_t ssrc = Read32(packet + 8);
  SrtpSources::Source* source = out_.sources.Find(ssrc);
  // No source makes room for another here: if it came back, its packets would be encrypted with what was used before.
  if (!source && out_.sources.isFull()) return kTooManySources;
  const int64_t index = IndexOf(source ? source->rtp : SrtpWindow(), Read16(packet + 2));
  if (index > kMaxRtpIndex) return kKeyUsedUp;
  if (index < 0 || (source && !source->rtp.IsFresh(index))) return kReplayed;
  uint8_t* tag = packet + length;
  if (isAead()) {
    uint8_t iv[kNonce];
    out_.rtp.NonceOf(ssrc, static_cast<uint64_t>(index), iv);
    if (!out_.rtp.Seal(iv, packet, header, nullptr, 0, packet + header, length - header, tag)) return kMalformed;
  } else {
    if (!out_.rtp.Crypt(ssrc, static_cast<uint64_t>(index), packet + header, length - header)) return kMalformed;
    uint8_t rollover[4];
    Write32(rollover, static_cast<uint32_t>(index >> 16));
    out_.rtp.Sign(packet, length, rollover, sizeof rollover, tag);
  }
  if (!source) source = out_.sources.Replace(ssrc);
  source->rtp.Add(index);
  out_.sources.Use(source);
  return static_cast<ptrdiff_t>(length + tag_);
}

ptrdiff_t Srtp::UnprotectRtp(uint8_t* packet, size_t length) {
  if (length < tag_ || length > kMaxPacket) return kMalformed;
  const size_t plain = length - tag_;
  const size_t header = RtpHeader(packet, plain);
  if (header == 0) return kMalformed;
  const uint32_t ssrc = Read32(packet + 8);
  SrtpSources::Source* source = in_.sources.Find(ssrc);
  const int64_t index = IndexOf(source ? source->rtp : SrtpWindow(), Read16(packet + 2));
  if (index < 0 || index > kMaxRtpIndex || (source && !source->rtp.IsFresh(index))) return kReplayed;
  uint8_t* tag = packet + plain;
  if (isAead()) {
    uint8_t iv[kNonce];
    in_.rtp.NonceOf(ssrc, static_cast<uint64_t>(index), iv);
    if (!in_.rtp.Unseal(iv, packet, header, nullptr, 0, packet + header, plain - header, tag)) return kNotAuthentic;
  } else {
    uint8_t rollover[4];
    uint8_t wanted[10];
    Write32(rollover, static_cast<uint32_t>(index >> 16));
    in_.rtp.Sign(packet, plain, rollover, sizeof rollover, wanted);
    if (CRYPTO_memcmp(wanted, tag, sizeof wanted) != 0) return kNotAuthentic;
    if (!in_.rtp.Crypt(ssrc, static_cast<uint64_t>(index), packet + header, plain - header)) return kMalformed;
  }
  // Only an authentic packet changes anything.
  if (!source) source = in_.sources.Replace(ssrc);
  source->rtp.Add(index);
  in_.sources.Use(source);
  return static_cast<ptrdiff_t>(plain);
}

ptrdiff_t Srtp::ProtectRtcp(uint8_t* packet, size_t length) {
  if (length < kRtcpHeader || length > kMaxPacket || packet[0] >> 6 != 2) return kMalformed;
  const uint32_t ssrc = Read32(packet + 4);
  SrtpSources::Source* source = out_.sources.Find(ssrc);
  if (!source && out_.sources.isFull()) return kTooManySources;
  const int64_t index = source ? source->rtcp.highest + 1 : 0;
  if (index > kMaxRtcpIndex) return kKeyUsedUp;
  uint8_t* body = packet + kRtcpHeader;
  const size_t bodyLength = length - kRtcpHeader;
  const uint32_t flagged = kEncrypted | static_cast<uint32_t>(index);
  if (isAead()) {
    uint8_t iv[kNonce];
    out_.rtcp.NonceOf(ssrc, static_cast<uint64_t>(index), iv);
    uint8_t* trailer = packet + length + tag_;
    Write32(trailer, flagged);
    if (!out_.rtcp.Seal(iv, packet, kRtcpHeader, trailer, kIndex, body, bodyLength, packet + length)) return kMalformed;
  } else {
    if (!out_.rtcp.Crypt(ssrc, static_cast<uint64_t>(index), body, bodyLength)) return kMalformed;
    Write32(packet + length, flagged);
    out_.rtcp.Sign(packet, length, packet + length, kIndex, packet + length + kIndex);
  }
  if (!source) source = out_.sources.Replace(ssrc);
  source->rtcp.Add(index);
  out_.sources.Use(source);
  return static_cast<ptrdiff_t>(length + kIndex + tag_);
}

ptrdiff_t Srtp::UnprotectRtcp(uint8_t* packet, size_t length) {
  if (length < kRtcpHeader + kIndex + tag_ || length > kMaxPacket || packet[0] >> 6 != 2) return kMalformed;
  const size_t plain = length - kIndex - tag_;
  // The tag stands before the index with AEAD, and after it without.
  uint8_t* tag = packet + plain + (isAead() ? 0 : kIndex);
  const uint8_t* trailer = packet + plain + (isAead() ? tag_ : 0);
  const uint32_t flagged = Read32(trailer);
  const bool isEncrypted = (flagged & kEncrypted) != 0;
  const auto index = static_cast<int64_t>(flagged & ~kEncrypted);
  const uint32_t ssrc = Read32(packet + 4);
  SrtpSources::Source* source = in_.sources.Find(ssrc);
  if (source && !source->rtcp.IsFresh(index)) return kReplayed;
  uint8_t* body = packet + kRtcpHeader;
  const size_t bodyLength = plain - kRtcpHeader;
  if (isAead()) {
    uint8_t iv[kNonce];
    in_.rtcp.NonceOf(ssrc, static_cast<uint64_t>(index), iv);
    const size_t clear = isEncrypted ? kRtcpHeader : plain;
    if (!in_.rtcp.Unseal(iv, packet, clear, trailer, kIndex, body, isEncrypted ? bodyLength : 0, tag))
      return kNotAuthentic;
  } else {
    uint8_t wanted[10];
    in_.rtcp.Sign(packet, plain, trailer, kIndex, wanted);
    if (CRYPTO_memcmp(wanted, tag, sizeof wanted) != 0) return kNotAuthentic;
    if (isEncrypted && !in_.rtcp.Crypt(ssrc, static_cast<uint64_t>(index), body, bodyLength)) return kMalformed;
  }
  if (!source) source = in_.sources.Replace(ssrc);
  source->rtcp.Add(index);
  in_.sources.Use(source);
  return static_cast<ptrdiff_t>(plain);
}

}  // namespace trunkline::rtc
