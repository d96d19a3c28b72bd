// The certificate of one side of DTLS: ECDSA with P-256, signed by itself, as browsers make them (RFC 8827,
// section 6.5).

#ifndef TRUNKLINE_NATIVE_RTC_CERTIFICATE_H_
#define TRUNKLINE_NATIVE_RTC_CERTIFICATE_H_

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <memory>

namespace trunkline::rtc {

/// "AB:CD:…" with its final zero, of the longest hash.
using Fingerprint = std::array<char, 3 * EVP_MAX_MD_SIZE + 1>;

/// The hash of a certificate as SDP writes it (RFC 8122, section 5). `algorithm`: sha-1, sha-256, sha-384 or sha-512.
/// False if it is none of them.
bool FingerprintOf(X509* certificate, const char* algorithm, Fingerprint* fingerprint);

class Certificate {
 public:
  /// Null if OpenSSL cannot.
  static std::unique_ptr<Certificate> Make();

  /// By SHA-256.
  const Fingerprint& fingerprint() const { return fingerprint_; }
  /// What all sessions with this certificate share. Each holds it by itself.
  SSL_CTX* context() const { return context_.get(); }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };

  Certificate() = default;

  std::unique_ptr<SSL_CTX, Free> context_;
  Fingerprint fingerprint_ = {};
};

}  // namespace trunkline::rtc

#endif  // TRUNKLINE_NATIVE_RTC_CERTIFICATE_H_
