// One phone in RTP, and whom it talks to: a media proxy is between them. The far end sends back each packet that it
// gets.

#pragma once

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <istream>
#include <string>

#include "crowd.h"
#include "websocket.h"

namespace generator {

/** RFC 3550 without extensions. */
constexpr size_t kRtpHeader = 12;
constexpr size_t kSsrcAt = 8;

class RtpCall : public Pairs {
 public:
  /** Ports on loopback: of the phone and of the far end, and the proxy's for each. */
  struct Order {
    int near;
    int proxyForNear;
    int far;
    int proxyForFar;
  };

  static bool Parse(std::istream& words, Order* order) {
    words >> order->near >> order->proxyForNear >> order->far >> order->proxyForFar;
    return !words.fail();
  }

  RtpCall(Crowd* crowd, const Order& order, size_t number, int64_t)
      : Pairs(crowd), position_(number * 7 % crowd->audio.size()), ssrc_(crowd->Random()) {
    near_ = Open(order.near, order.proxyForNear);
    far_ = Open(order.far, order.proxyForFar);
    if (near_ >= 0 && far_ >= 0) {
      isStreaming_ = true;
      ++crowd_.streaming;
      return;
    }
    ++crowd_.failed;
    if (crowd_.firstError.empty()) crowd_.firstError = std::string("no socket: ") + std::strerror(errno);
  }

  RtpCall(const RtpCall&) = delete;
  RtpCall& operator=(const RtpCall&) = delete;
  ~RtpCall() { Close(); }

  bool isStreaming() const { return isStreaming_; }
  bool isOver() const { return !isStreaming_; }

  /** Nobody answers UDP: a call is up with its sockets. */
  void CheckHandshake(int64_t) {}

  void Ready(uint32_t, int64_t now) {
    char* const packet = crowd_.scratch;
    for (ssize_t size; (size = recv(far_, packet, kMaxMessage, 0)) >= 0;) {
      if (static_cast<size_t>(size) <= kRtpHeader) continue;
      // A sender of its own.
      packet[kSsrcAt] = static_cast<char>(packet[kSsrcAt] ^ 1);
      send(far_, packet, static_cast<size_t>(size), 0);
    }
    for (ssize_t size; (size = recv(near_, packet, kMaxMessage, 0)) >= 0;) {
      if (size == kRtpHeader + kFrameBytes)
        Echoed(now);
      else
        ++crowd_.unexpected;
    }
  }

  /** Says the next 20 ms. */
  void Speak(int64_t now) {
    if (underWay() == kUnderWay) {
      ++crowd_.discarded;
      return;
    }
    uint8_t packet[kRtpHeader + kFrameBytes];
    packet[0] = 0x80;
    packet[1] = 0;
    Put(static_cast<uint32_t>(sent_), packet + 2, 2);
    Put(static_cast<uint32_t>(sent_ * kFrameBytes), packet + 4, 4);
    Put(ssrc_, packet + kSsrcAt, 4);
    Decode(crowd_.audio[position_], packet + kRtpHeader);
    if (++position_ == crowd_.audio.size()) position_ = 0;
    if (send(near_, packet, sizeof packet, 0) < 0)
      ++crowd_.discarded;
    else
      Sent(now);
  }

  void Stop() {
    if (!isStreaming_) return;
    --crowd_.streaming;
    Close();
  }

 private:
  int Open(int port, int peer) {
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket < 0) return -1;
    const auto at = [](int number) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(static_cast<uint16_t>(number));
      return address;
    };
    const sockaddr_in own = at(port), other = at(peer);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.ptr = this;
    if (bind(socket, reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0 &&
        connect(socket, reinterpret_cast<const sockaddr*>(&other), sizeof other) == 0 &&
        epoll_ctl(crowd_.epoll, EPOLL_CTL_ADD, socket, &event) == 0)
      return socket;
    const int error = errno;
    close(socket);
    errno = error;
    return -1;
  }

  void Close() {
    for (int* socket : {&near_, &far_}) {
      if (*socket >= 0) close(*socket);
      *socket = -1;
    }
    isStreaming_ = false;
  }

  static void Put(uint32_t number, uint8_t* at, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) at[i] = static_cast<uint8_t>(number >> 8 * (bytes - 1 - i));
  }

  static void Decode(const std::string& base64, uint8_t* at) {
    const auto digit = [&base64](size_t i) { return static_cast<uint32_t>(Base64Digit(base64[i])); };
    for (size_t i = 0, byte = 0; byte < kFrameBytes; i += 4) {
      const uint32_t bits = digit(i) << 18 | digit(i + 1) << 12 | digit(i + 2) << 6 | digit(i + 3);
      for (int shift = 16; shift >= 0 && byte < kFrameBytes; shift -= 8)
        at[byte++] = static_cast<uint8_t>(bits >> shift);
    }
  }

  int near_ = -1;
  int far_ = -1;
  bool isStreaming_ = false;
  size_t position_;
  const uint32_t ssrc_;
};

}  // namespace generator
