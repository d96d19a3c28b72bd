#include "dtls.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/srtp.h>
#ifdef _WIN32
#include <winsock2.h>
#else
#include <sys/time.h>
#endif

#include <cstring>

namespace trunkline::rtc {
namespace {

/// RFC 6347, section 4.2.4.1, leaves shorter ones than its second to applications in which time matters. Doubled each
/// time.
constexpr unsigned kFirstTimeoutUs = 100'000;
constexpr unsigned kMaxTimeoutUs = 3'000'000;
/// Of one flight; a peer cannot keep us here.
constexpr int kMaxReads = 64;

unsigned NextTimeout(SSL*, unsigned lastUs) {
  if (lastUs == 0) return kFirstTimeoutUs;
  return lastUs < kMaxTimeoutUs / 2 ? 2 * lastUs : kMaxTimeoutUs;
}

/// Node shares this thread's queue of errors: one that stays would be read by its next TLS connection as one of its
/// own, and one of Node's here as ours.
struct ErrorScope {
  ErrorScope() { ERR_clear_error(); }
  ~ErrorScope() { ERR_clear_error(); }
  ErrorScope(const ErrorScope&) = delete;
  ErrorScope& operator=(const ErrorScope&) = delete;
};

}  // namespace

// ---- Datagrams ----

void DatagramQueue::Push(const uint8_t* datagram, size_t length) {
  if (length == 0 || length > UINT16_MAX || end_ + 2 + length > kRoom) return;
  bytes_[end_] = static_cast<uint8_t>(length >> 8);
  bytes_[end_ + 1] = static_cast<uint8_t>(length);
  std::memcpy(bytes_.data() + end_ + 2, datagram, length);
  end_ += 2 + length;
}

const uint8_t* DatagramQueue::Take(size_t* length) {
  if (taken_ == end_) {
    taken_ = end_ = 0;
    return nullptr;
  }
  *length = size_t{bytes_[taken_]} << 8 | bytes_[taken_ + 1];
  const uint8_t* datagram = bytes_.data() + taken_ + 2;
  taken_ += 2 + *length;
  return datagram;
}

DatagramMethod::DatagramMethod() : method_(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "trunkline datagrams")) {
  if (!method_) return;
  BIO_meth_set_create(method_, [](BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  });
  BIO_meth_set_read(method_, [](BIO* bio, char* to, int room) {
    BIO_clear_retry_flags(bio);
    auto* session = static_cast<Dtls*>(BIO_get_data(bio));
    const int length = room > 0 ? session->Read(reinterpret_cast<uint8_t*>(to), static_cast<size_t>(room)) : -1;
    if (length < 0) BIO_set_retry_read(bio);
    return length;
  });
  BIO_meth_set_write(method_, [](BIO* bio, const char* from, int length) {
    BIO_clear_retry_flags(bio);
    auto* session = static_cast<Dtls*>(BIO_get_data(bio));
    if (length > 0) session->output_.Push(reinterpret_cast<const uint8_t*>(from), static_cast<size_t>(length));
    return length;
  });
  BIO_meth_set_ctrl(method_, [](BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1L : 0L; });
}

int Dtls::Read(uint8_t* to, size_t room) {
  if (!input_) return -1;
  const size_t length = inputLength_ < room ? inputLength_ : room;
  std::memcpy(to, input_, length);
  input_ = nullptr;
  return static_cast<int>(length);
}

// ---- The session ----

std::unique_ptr<Dtls> Dtls::Open(const Certificate& certificate, const DatagramMethod& method, bool isClient,
                                 size_t mtu) {
  const ErrorScope errors;
  std::unique_ptr<Dtls> session(new Dtls());
  session->ssl_.reset(SSL_new(certificate.context()));
  BIO* bio = method.get() ? BIO_new(method.get()) : nullptr;
  if (!session->ssl_ || !bio) {
    BIO_free(bio);
    return nullptr;
  }
  SSL* ssl = session->ssl_.get();
  BIO_set_data(bio, session.get());
  SSL_set_bio(ssl, bio, bio);
  SSL_set_mtu(ssl, static_cast<long>(mtu));
  DTLS_set_timer_cb(ssl, NextTimeout);
  if (isClient)
    SSL_set_connect_state(ssl);
  else
    SSL_set_accept_state(ssl);
  return session;
}

Dtls::~Dtls() {
  const ErrorScope errors;
  ssl_.reset();
  OPENSSL_cleanse(keys_.data(), keys_.size());
}

void Dtls::Start() {
  if (state_ != State::kNew) return;
  state_ = State::kHandshaking;
  Advance();
}

void Dtls::Feed(const uint8_t* datagram, size_t length) {
  if (length == 0 || length > kMaxDatagram) return;
  if (state_ == State::kNew && SSL_is_server(ssl_.get()) == 1) state_ = State::kHandshaking;
  if (state_ != State::kHandshaking && state_ != State::kConnected) return;
  input_ = datagram;
  inputLength_ = length;
  Advance();
  input_ = nullptr;
}

void Dtls::Advance() {
  const ErrorScope errors;
  if (state_ == State::kHandshaking) {
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1)
      Connect();
    else
      Judge(result);
  }
  // Nothing but alerts and repeated flights is expected now; data of an application is ignored.
  for (int reads = 0; state_ == State::kConnected && reads < kMaxReads; ++reads) {
    uint8_t ignored[kMaxDatagram];
    const int result = SSL_read(ssl_.get(), ignored, sizeof ignored);
    if (result > 0) continue;
    Judge(result);
    break;
  }
}

void Dtls::Judge(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return;
    case SSL_ERROR_ZERO_RETURN: state_ = State::kClosed; return;
    default: Fail(ERR_reason_error_string(ERR_peek_error()));
  }
}

void Dtls::Fail(const char* why) {
  state_ = State::kFailed;
  failure_ = why ? why : "the handshake ended without a reason";
}

void Dtls::Connect() {
  const SRTP_PROTECTION_PROFILE* chosen = SSL_get_selected_srtp_profile(ssl_.get());
  if (!chosen) return Fail("the peer accepted no SRTP profile");
  profile_ = static_cast<SrtpProfile>(chosen->id);
  const SrtpSizes sizes = SizesOf(profile_);
  constexpr char kLabel[] = "EXTRACTOR-dtls_srtp";
  if (SSL_export_keying_material(ssl_.get(), keys_.data(), 2 * (sizes.key + sizes.salt), kLabel, sizeof kLabel - 1,
                                 nullptr, 0, 0) != 1)
    return Fail("the keys could not be exported");
  hasKeys_ = true;
  state_ = State::kConnected;
}

int Dtls::TimeoutMs() {
  if (state_ != State::kHandshaking && state_ != State::kConnected) return -1;
  timeval left = {};
  if (DTLSv1_get_timeout(ssl_.get(), &left) != 1) return -1;
  return static_cast<int>(left.tv_sec * 1000 + (left.tv_usec + 999) / 1000);
}

void Dtls::Timeout() {
  if (state_ != State::kHandshaking && state_ != State::kConnected) return;
  const ErrorScope errors;
  if (DTLSv1_handle_timeout(ssl_.get()) < 0) Fail(ERR_reason_error_string(ERR_peek_error()));
}

bool Dtls::PeerFingerprint(const char* algorithm, Fingerprint* fingerprint) const {
  const ErrorScope errors;
  X509* certificate = SSL_get1_peer_certificate(ssl_.get());
  if (!certificate) return false;
  const bool ok = FingerprintOf(certificate, algorithm, fingerprint);
  X509_free(certificate);
  return ok;
}

std::unique_ptr<Srtp> Dtls::TakeSrtp() {
  if (!hasKeys_) return nullptr;
  hasKeys_ = false;
  std::unique_ptr<Srtp> session = Srtp::Open(profile_, keys_.data(), SSL_is_server(ssl_.get()) == 0);
  OPENSSL_cleanse(keys_.data(), keys_.size());
  return session;
}

void Dtls::Close() {
  const ErrorScope errors;
  output_ = {};
  if (state_ == State::kConnected) SSL_shutdown(ssl_.get());
  state_ = State::kClosed;
}

}  // namespace trunkline::rtc
