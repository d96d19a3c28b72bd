#include "certificate.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <cstdint>
#include <cstring>
#include <utility>

namespace trunkline::rtc {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeKey>;
using X509Ptr = std::unique_ptr<X509, FreeX509>;

constexpr long kDay = 24L * 60 * 60;
constexpr long kMonth = 30 * kDay;
/// Longest message of a handshake, with a peer's certificates. OpenSSL keeps as much of one that is not complete.
constexpr long kMaxMessage = 16 * 1024;

/// Those with forward secrecy, for peers with ECDSA and RSA (RFC 8827, section 6.5).
constexpr char kCiphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA";
constexpr char kSrtpProfiles[] = "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM";

/// Whose it is, the fingerprint in the SDP tells: nobody signed it but itself.
int AcceptAny(X509_STORE_CTX*, void*) { return 1; }

X509Ptr SelfSigned(EVP_PKEY* key) {
  X509Ptr certificate(X509_new());
  uint8_t serial[8];
  if (!certificate || RAND_bytes(serial, sizeof serial) != 1) return nullptr;
  uint64_t number = 0;
  for (const uint8_t byte : serial) number = number << 8 | byte;
  X509* x509 = certificate.get();
  X509_NAME* name = X509_get_subject_name(x509);
  const bool ok = X509_set_version(x509, X509_VERSION_3) == 1 &&
                  // Positive, and not zero.
                  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), (number >> 1) + 1) == 1 &&
                  // A day ago, for a peer whose clock is slow.
                  X509_gmtime_adj(X509_getm_notBefore(x509), -kDay) != nullptr &&
                  X509_gmtime_adj(X509_getm_notAfter(x509), kMonth) != nullptr &&
                  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const uint8_t*>("WebRTC"), -1,
                                             -1, 0) == 1 &&
                  X509_set_issuer_name(x509, name) == 1 && X509_set_pubkey(x509, key) == 1 &&
                  X509_sign(x509, key, EVP_sha256()) > 0;
  return ok ? std::move(certificate) : nullptr;
}

bool SetUp(SSL_CTX* context, EVP_PKEY* key, X509* certificate) {
  SSL_CTX_set_options(context, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_max_cert_list(context, kMaxMessage);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context, AcceptAny, nullptr);
  return SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(context, DTLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(context, kCiphers) == 1 &&
         // Of all functions, this one returns 0 if it worked.
         SSL_CTX_set_tlsext_use_srtp(context, kSrtpProfiles) == 0 &&
         SSL_CTX_use_certificate(context, certificate) == 1 && SSL_CTX_use_PrivateKey(context, key) == 1;
}

}  // namespace

bool FingerprintOf(X509* certificate, const char* algorithm, Fingerprint* fingerprint) {
  struct Hash {
    const char* name;
    const EVP_MD* (*make)();
  };
  static constexpr Hash kHashes[] = {
      {"sha-1", EVP_sha1}, {"sha-256", EVP_sha256}, {"sha-384", EVP_sha384}, {"sha-512", EVP_sha512}};
  for (const Hash& hash : kHashes) {
    if (std::strcmp(hash.name, algorithm) != 0) continue;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (X509_digest(certificate, hash.make(), digest, &length) != 1 || length == 0) return false;
    constexpr char kDigits[] = "0123456789ABCDEF";
    char* at = fingerprint->data();
    for (unsigned i = 0; i < length; ++i) {
      *at++ = kDigits[digest[i] >> 4];
      *at++ = kDigits[digest[i] & 15];
      *at++ = ':';
    }
    at[-1] = '\0';
    return true;
  }
  return false;
}

std::unique_ptr<Certificate> Certificate::Make() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr x509 = key ? SelfSigned(key.get()) : nullptr;
  std::unique_ptr<Certificate> certificate(new Certificate());
  certificate->context_.reset(SSL_CTX_new(DTLS_method()));
  const bool ok = x509 && certificate->context_ && SetUp(certificate->context_.get(), key.get(), x509.get()) &&
                  FingerprintOf(x509.get(), "sha-256", &certificate->fingerprint_);
  ERR_clear_error();
  return ok ? std::move(certificate) : nullptr;
}

}  // namespace trunkline::rtc
