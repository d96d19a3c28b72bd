// DTLS 1.2 (RFC 6347) with the use_srtp extension (RFC 5764), by the OpenSSL that Node has in it. Datagrams come and go
// through memory: this opens no socket and starts no timer.

#ifndef TRUNKLINE_NATIVE_RTC_DTLS_H_
#define TRUNKLINE_NATIVE_RTC_DTLS_H_

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "certificate.h"
#include "srtp.h"

namespace trunkline::rtc {

/// Datagrams in the order they came, as many as fit in; others are lost, as on a network.
class DatagramQueue {
 public:
  static constexpr size_t kRoom = 8 * 1024;

  void Push(const uint8_t* datagram, size_t length);
  /// The next one, valid until the next call; null without one.
  const uint8_t* Take(size_t* length);

 private:
  std::array<uint8_t, kRoom> bytes_ = {};  // each after its length of two bytes
  size_t end_ = 0;
  size_t taken_ = 0;
};

/// How OpenSSL reads and writes the datagrams of a session.
class DatagramMethod {
 public:
  DatagramMethod();
  ~DatagramMethod() { BIO_meth_free(method_); }
  DatagramMethod(const DatagramMethod&) = delete;
  DatagramMethod& operator=(const DatagramMethod&) = delete;

  const BIO_METHOD* get() const { return method_; }

 private:
  BIO_METHOD* method_;
};

class Dtls {
 public:
  enum class State : uint8_t { kNew, kHandshaking, kConnected, kClosed, kFailed };

  /// Longer datagrams are ignored.
  static constexpr size_t kMaxDatagram = 4096;

  /// Null if OpenSSL cannot. `method` outlives the session. `mtu`: bytes of a datagram at most.
  static std::unique_ptr<Dtls> Open(const Certificate& certificate, const DatagramMethod& method, bool isClient,
                                    size_t mtu);
  ~Dtls();
  Dtls(const Dtls&) = delete;
  Dtls& operator=(const Dtls&) = delete;

  State state() const { return state_; }
  /// Why it failed, in a few words of OpenSSL; null unless it did.
  const char* failure() const { return failure_; }

  /// Has the client send its first flight, and the server wait for it.
  void Start();
  void Feed(const uint8_t* datagram, size_t length);
  /// The next datagram to send.
  const uint8_t* Take(size_t* length) { return output_.Take(length); }
  /// Until Timeout is due; -1 if nothing is.
  int TimeoutMs();
  /// Sends the last flight again, if that is due.
  void Timeout();
  /// False without a certificate of the peer, or for an unknown algorithm.
  bool PeerFingerprint(const char* algorithm, Fingerprint* fingerprint) const;
  /// The session with the keys of this handshake; null unless it is connected, and the second time.
  std::unique_ptr<Srtp> TakeSrtp();
  /// Leaves nothing to send, but what tells the peer if it is connected.
  void Close();

 private:
  friend class DatagramMethod;
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  Dtls() = default;
  void Advance();
  /// Ends the session if OpenSSL cannot go on after what it returned.
  void Judge(int result);
  void Fail(const char* why);
  void Connect();

  int Read(uint8_t* to, size_t room);

  std::unique_ptr<SSL, Free> ssl_;
  State state_ = State::kNew;
  const char* failure_ = nullptr;
  const uint8_t* input_ = nullptr;  // null: has been read
  size_t inputLength_ = 0;
  DatagramQueue output_;
  std::array<uint8_t, 88> keys_ = {};
  SrtpProfile profile_ = SrtpProfile::kAes128CmSha1;
  bool hasKeys_ = false;
};

}  // namespace trunkline::rtc

#endif  // TRUNKLINE_NATIVE_RTC_DTLS_H_
