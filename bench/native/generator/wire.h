// A phone's connection: TCP, or TLS over it if the headers of OpenSSL were there at compile time (GENERATOR_TLS).

#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#ifdef GENERATOR_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

namespace generator {

/** Encrypted bytes read at once. Decrypted, with the rest of a record from before, they fit into `kReadAtOnce`. */
constexpr size_t kSealedAtOnce = 44 * 1024;
constexpr size_t kReadAtOnce = 64 * 1024;

#ifdef GENERATOR_TLS

/** What all TLS connections share. Servers on loopback have certificates of nobody: none is verified. */
class Tls {
 public:
  /** @param ciphers names of TLS 1.3 in order of preference, or of TLS 1.2, which is then the only version; empty:
   * OpenSSL's */
  explicit Tls(const std::string& ciphers) : context_(SSL_CTX_new(TLS_client_method())), method_(NewMethod()) {
    SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(context_, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
    if (ciphers.empty()) return;
    const bool isNew = ciphers.compare(0, 4, "TLS_") == 0;
    if (!isNew) SSL_CTX_set_max_proto_version(context_, TLS1_2_VERSION);
    const int taken = isNew ? SSL_CTX_set_ciphersuites(context_, ciphers.c_str())
                            : SSL_CTX_set_cipher_list(context_, ciphers.c_str());
    if (taken == 1) return;
    std::fprintf(stderr, "Expected names of ciphers but received \"%s\"\n", ciphers.c_str());
    std::exit(1);
  }

  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;
  ~Tls() {
    SSL_CTX_free(context_);
    BIO_meth_free(method_);
  }

  /** A client's side of a connection whose bytes `wire` moves. */
  SSL* NewClient(void* wire, const std::string& name) const {
    SSL* const ssl = SSL_new(context_);
    BIO* const bio = BIO_new(method_);
    BIO_set_data(bio, wire);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_tlsext_host_name(ssl, name.c_str());
    SSL_set_connect_state(ssl);
    return ssl;
  }

  char sealed[kSealedAtOnce];

 private:
  static BIO_METHOD* NewMethod();

  SSL_CTX* const context_;
  BIO_METHOD* const method_;
};

#else

/** Says that it is not there. */
class Tls {
 public:
  explicit Tls(const std::string&) {}
};

#endif

class Wire {
 public:
  Wire() = default;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  ~Wire() { Close(); }

  int socket() const { return socket_; }

  /** Takes a socket that does not block. */
  void Open(int socket) { socket_ = socket; }

  /** Speaks TLS from here on; false if this program cannot. */
  bool Secure([[maybe_unused]] Tls* tls, [[maybe_unused]] const std::string& name) {
#ifdef GENERATOR_TLS
    tls_ = tls;
    ssl_ = tls->NewClient(this, name);
    return true;
#else
    return false;
#endif
  }

  /** Of TLS, once it is agreed upon: version and cipher. Empty without. */
  std::string cipher() const {
#ifdef GENERATOR_TLS
    if (ssl_ != nullptr) return std::string(SSL_get_version(ssl_)) + " " + SSL_get_cipher_name(ssl_);
#endif
    return {};
  }

  /**
   * Reads what has come, as `recv` does: 0 at the end, -1 with EAGAIN if there is nothing now.
   * @param to of `kReadAtOnce` bytes
   */
  ssize_t Read(char* to) {
#ifdef GENERATOR_TLS
    if (ssl_ != nullptr) return ReadSecure(to);
#endif
    const ssize_t count = recv(socket_, to, kReadAtOnce, 0);
    mayHaveMore_ = count == static_cast<ssize_t>(kReadAtOnce) || (count < 0 && errno == EINTR);
    return count;
  }

  /** Whether the last `Read` left something. */
  bool mayHaveMore() const { return mayHaveMore_; }

  /** As `send` does. What was not taken has to be offered again, the same bytes first. */
  ssize_t Write(const char* bytes, size_t length) {
#ifdef GENERATOR_TLS
    if (ssl_ != nullptr) return Result(SSL_write(ssl_, bytes, static_cast<int>(length)));
#endif
    return send(socket_, bytes, length, MSG_NOSIGNAL);
  }

  /** Why the last `Read` or `Write` returned -1. */
  std::string error() const { return error_.empty() ? std::strerror(errno) : error_; }

  void Close() {
#ifdef GENERATOR_TLS
    if (ssl_ != nullptr) {
      if (error_.empty()) SSL_shutdown(ssl_);
      ERR_clear_error();
      SSL_free(ssl_);
    }
    ssl_ = nullptr;
#endif
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }

#ifdef GENERATOR_TLS
  /** Encrypted bytes for OpenSSL, out of what was received. */
  int Take(char* to, int most) {
    if (sealed_.empty()) return -1;
    const size_t count = std::min(static_cast<size_t>(most), sealed_.size());
    std::memcpy(to, sealed_.data(), count);
    sealed_.remove_prefix(count);
    return static_cast<int>(count);
  }
#endif

 private:
#ifdef GENERATOR_TLS
  ssize_t ReadSecure(char* to) {
    mayHaveMore_ = false;
    if (isAtEnd_) return 0;
    const ssize_t received = recv(socket_, tls_->sealed, kSealedAtOnce, 0);
    if (received <= 0) {
      mayHaveMore_ = received < 0 && errno == EINTR;
      return received;
    }
    mayHaveMore_ = received == static_cast<ssize_t>(kSealedAtOnce);
    sealed_ = {tls_->sealed, static_cast<size_t>(received)};
    size_t total = 0;
    for (;;) {
      const ssize_t count = Result(SSL_read(ssl_, to + total, static_cast<int>(kReadAtOnce - total)));
      if (count <= 0) {
        isAtEnd_ = count == 0;
        sealed_ = {};
        if (total == 0) return count;
        mayHaveMore_ |= isAtEnd_;
        return static_cast<ssize_t>(total);
      }
      total += static_cast<size_t>(count);
    }
  }

  /** OpenSSL's answer as one of `recv` or `send`. */
  ssize_t Result(int count) {
    if (count > 0) return count;
    const int reason = SSL_get_error(ssl_, count);
    if (reason == SSL_ERROR_ZERO_RETURN) return 0;
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) {
      errno = EAGAIN;
      return -1;
    }
    const char* const text = ERR_reason_error_string(ERR_get_error());
    ERR_clear_error();
    error_ = text == nullptr ? "broken TLS" : std::string("TLS: ") + text;
    errno = EPROTO;
    return -1;
  }

  Tls* tls_ = nullptr;
  SSL* ssl_ = nullptr;
  std::string_view sealed_;
  bool isAtEnd_ = false;
#endif

  int socket_ = -1;
  bool mayHaveMore_ = false;
  std::string error_;
};

#ifdef GENERATOR_TLS

inline BIO_METHOD* Tls::NewMethod() {
  BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
  BIO_meth_set_read(method, [](BIO* bio, char* to, int most) {
    BIO_clear_retry_flags(bio);
    const int count = static_cast<Wire*>(BIO_get_data(bio))->Take(to, most);
    if (count < 0) BIO_set_retry_read(bio);
    return count;
  });
  BIO_meth_set_write(method, [](BIO* bio, const char* bytes, int length) {
    BIO_clear_retry_flags(bio);
    const int socket = static_cast<Wire*>(BIO_get_data(bio))->socket();
    const auto count = static_cast<int>(send(socket, bytes, static_cast<size_t>(length), MSG_NOSIGNAL));
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
    return count;
  });
  BIO_meth_set_ctrl(method, [](BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1L : 0L; });
  return method;
}

#endif

}  // namespace generator
