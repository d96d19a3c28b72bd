// What all phones share, and what each counts: which of its frames were echoed, and when.

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "histogram.h"
#include "wire.h"

namespace generator {

/** Bytes of one 20 ms frame, and characters of its base64. */
constexpr size_t kFrameBytes = 160;
constexpr size_t kPayload = 216;
constexpr int64_t kFrameMs = 20;
/** Frames of a call that may be under way, 5 s: one more is not sent but counted as discarded. */
constexpr uint64_t kUnderWay = 256;
/** Longest message taken, and longest answer to the upgrade. */
constexpr size_t kMaxMessage = 2048;

struct Crowd {
  int epoll = -1;
  /** What is said, in a loop: base64 texts of `kPayload` characters each. */
  std::vector<std::string> audio;
  /** Of frames that were sent during the hold, 100 ns. */
  Histogram roundTrip;
  Histogram secondRoundTrip;
  uint64_t discarded = 0;
  /** Messages that were no echo: marks and clears, another stream's audio, unexpected audio. */
  uint64_t unexpected = 0;
  uint32_t streaming = 0;
  uint32_t failed = 0;
  uint32_t lost = 0;
  std::string firstError;
  /** Version and cipher of the latest TLS connection. */
  std::string cipher;
  std::unique_ptr<Tls> tls;
  uint32_t random = 2463534242;
  char scratch[kMaxMessage + kReadAtOnce];

  uint32_t Random() {
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    return random;
  }
};

/** Frames of one phone and their echoes: the n-th echo answers the n-th frame. */
class Pairs {
 public:
  explicit Pairs(Crowd* crowd) : crowd_(*crowd) {}

  uint64_t echoed() const { return echoed_; }
  uint64_t underWay() const { return sent_ - echoed_; }

  /** Frames from the next one on are measured. */
  void BeginHold() {
    holdFrom_ = sent_;
    holdTo_ = UINT64_MAX;
  }
  /** And up to here. */
  void EndHold() { holdTo_ = sent_; }
  uint64_t sentInHold() const { return std::min(holdTo_, sent_) - holdFrom_; }
  uint64_t echoedInHold() const { return std::clamp(echoed_, holdFrom_, std::min(holdTo_, sent_)) - holdFrom_; }

  /** Frames that will never be echoed; later ones are paired anew. */
  uint64_t GiveUpUnderWay() {
    const uint64_t lost = underWay();
    echoed_ = sent_;
    return lost;
  }

 protected:
  void Sent(int64_t now) { sentAt_[sent_++ % kUnderWay] = now; }

  /** Something came that may be an echo. */
  void Echoed(int64_t now) {
    if (echoed_ == sent_) {
      ++crowd_.unexpected;
      return;
    }
    const uint64_t n = echoed_++;
    if (n < holdFrom_ || n >= holdTo_) return;
    const uint32_t elapsed = Units(now - sentAt_[n % kUnderWay]);
    crowd_.roundTrip.Record(elapsed);
    crowd_.secondRoundTrip.Record(elapsed);
  }

  Crowd& crowd_;
  uint64_t sent_ = 0;

 private:
  uint64_t echoed_ = 0;
  uint64_t holdFrom_ = UINT64_MAX;
  uint64_t holdTo_ = UINT64_MAX;
  int64_t sentAt_[kUnderWay];
};

}  // namespace generator
