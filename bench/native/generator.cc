// A crowd of phones for the capacity bench: Twilio's side of many Media Streams on one thread, so that one core is
// enough to load another. Linux. Arguments: a file of base64 frames, one a line, the number of phones, and perhaps the
// ciphers of TLS, or "rtp" for phones that speak RTP through a media proxy.
//
// It wakes every 250 us, says what is due, reads what came and sleeps again: no echo wakes it, so a round trip is seen
// up to 250 us late. Frames have deadlines of their own, 20 ms apart and spread evenly over the phones; one that is
// late is followed by the next at its own time. Commands are lines on standard input, answers are lines of JSON:
//   call <ws or wss> <host> <port> <path> <public host> <signature> <CallSid> <AccountSid> <StreamSid>
//   call <port> <the proxy's port> <port of the far end> <the proxy's port>
//   settle   says nothing until nothing comes back: what is then missing was lost before, and frames pair anew
//   hold     measures the frames sent from here on
//   end      to here; reports when they had half a second to come back
//   stop     hangs up everywhere and exits, as does the end of standard input

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "generator/call.h"
#include "generator/rtp_call.h"

namespace {

using namespace generator;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kTick = kMs / 4;
constexpr int64_t kPeriod = kFrameMs * kMs;
/** No echo for so long: none is under way any more. */
constexpr int64_t kQuiet = 300 * kMs;
constexpr int64_t kMaxSettle = 5'000 * kMs;
constexpr int64_t kGrace = 500 * kMs;
constexpr int64_t kMaxStop = 2'000 * kMs;
/** Events between two looks at the clock. */
constexpr int kBatch = 32;
constexpr size_t kMaxLine = 4096;
constexpr size_t kMaxSeconds = 600;

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void SleepUntil(int64_t at) {
  const timespec until = {static_cast<time_t>(at / 1'000'000'000), static_cast<long>(at % 1'000'000'000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

double CpuMs() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& time) { return time.tv_sec * 1e3 + time.tv_usec / 1e3; };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

/** Text within JSON. */
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 32 ? ' ' : c;
  }
  return quoted + '"';
}

template <class Phone>
class Generator {
 public:
  Generator(const char* audio, size_t phones, const std::string& ciphers) : phones_(phones) {
    crowd_.tls = std::make_unique<Tls>(ciphers);
    std::ifstream file(audio);
    for (std::string line; std::getline(file, line);)
      if (line.size() == kPayload) crowd_.audio.push_back(line);
    crowd_.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (crowd_.audio.empty() || crowd_.epoll < 0 || phones == 0) {
      std::fprintf(stderr, "Expected frames of %zu characters and at least one phone\n", kPayload);
      std::exit(1);
    }
    calls_.reserve(phones);
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    begunAt_ = Now();
  }

  int Run() {
    std::printf("{\"event\":\"ready\"}\n");
    for (;;) {
      const int64_t now = Now();
      SpeakDue();
      Listen();
      if (now >= housekeepingAt_) {
        housekeepingAt_ = now + 10 * kMs;
        if (!Obey() || !KeepHouse(now)) return 0;
        std::fflush(stdout);
      }
      SleepUntil((Now() / kTick + 1) * kTick);
    }
  }

 private:
  enum class Phase { kTalking, kSettling, kHolding, kEnding, kStopping };

  /** All frames whose time has come, in the order of their times. */
  void SpeakDue() {
    for (int64_t now = Now();; now = Now()) {
      const int64_t due = begunAt_ + round_ * kPeriod + static_cast<int64_t>(turn_ * kPeriod / phones_);
      if (due > now) return;
      if (turn_ < calls_.size() && calls_[turn_]->isStreaming()) Speak(*calls_[turn_], due, now);
      if (++turn_ < phones_) continue;
      turn_ = 0;
      ++round_;
    }
  }

  void Speak(Phone& call, int64_t due, int64_t now) {
    if (phase_ == Phase::kSettling) return;
    if (phase_ == Phase::kStopping) return call.Stop();
    if (phase_ == Phase::kHolding) lateness_.Record(Units(now - due));
    call.Speak(now);
  }

  void Listen() {
    epoll_event events[kBatch];
    for (int count = kBatch; count == kBatch;) {
      count = epoll_wait(crowd_.epoll, events, kBatch, 0);
      for (int i = 0; i < count; ++i) static_cast<Phone*>(events[i].data.ptr)->Ready(events[i].events, Now());
      if (count == kBatch) SpeakDue();
    }
  }

  /** Executes received commands; false when the parent has gone. */
  bool Obey() {
    char bytes[16 * 1024];
    for (;;) {
      const ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
      if (count == 0) return false;
      if (count < 0) return errno == EAGAIN || errno == EINTR;
      for (ssize_t i = 0; i < count; ++i) {
        if (bytes[i] != '\n') {
          line_ += bytes[i];
          if (line_.size() > kMaxLine) return false;
          continue;
        }
        Obey(line_);
        line_.clear();
        SpeakDue();
      }
    }
  }

  void Obey(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "call") {
      typename Phone::Order order;
      if (!Phone::Parse(words, &order) || calls_.size() == phones_) {
        ++crowd_.failed;
        if (crowd_.firstError.empty()) crowd_.firstError = "an order that is not one";
        return;
      }
      calls_.push_back(std::make_unique<Phone>(&crowd_, std::move(order), calls_.size(), Now()));
    } else if (command == "settle") {
      Enter(Phase::kSettling);
    } else if (command == "hold") {
      BeginHold();
    } else if (command == "end") {
      EndHold();
    } else if (command == "stop") {
      Enter(Phase::kStopping);
    } else {
      std::fprintf(stderr, "Expected a command but received \"%s\"\n", line.c_str());
    }
  }

  void Enter(Phase phase) {
    phase_ = phase;
    phaseAt_ = quietSince_ = Now();
  }

  /** Housekeeping every 10 ms; false when everything has ended. */
  bool KeepHouse(int64_t now) {
    if (crowd_.streaming != told_[0] || crowd_.failed != told_[1] || crowd_.lost != told_[2]) Tell();
    if (now >= handshakesAt_) {
      handshakesAt_ = now + 500 * kMs;
      for (const auto& call : calls_) call->CheckHandshake(now);
    }
    switch (phase_) {
      case Phase::kSettling: Settle(now); break;
      case Phase::kHolding:
        if (now - secondAt_ >= 1'000 * kMs) EndSecond(now);
        break;
      case Phase::kEnding:
        if (HasAll() || now - phaseAt_ >= kGrace) Report();
        break;
      case Phase::kStopping:
        for (const auto& call : calls_)
          if (!call->isOver() && now - phaseAt_ < kMaxStop) return true;
        std::printf("{\"event\":\"stopped\"}\n");
        std::fflush(stdout);
        return false;
      default: break;
    }
    return true;
  }

  void Tell() {
    told_[0] = crowd_.streaming;
    told_[1] = crowd_.failed;
    told_[2] = crowd_.lost;
    std::printf("{\"event\":\"progress\",\"streaming\":%u,\"failed\":%u,\"lost\":%u,\"firstError\":%s}\n", told_[0],
                told_[1], told_[2], Quoted(crowd_.firstError).c_str());
  }

  void Settle(int64_t now) {
    uint64_t echoed = 0;
    for (const auto& call : calls_) echoed += call->echoed();
    if (echoed != quietAt_) {
      quietAt_ = echoed;
      quietSince_ = now;
    }
    const bool isQuiet = now - quietSince_ >= kQuiet;
    if (!isQuiet && now - phaseAt_ < kMaxSettle) return;
    uint64_t lost = 0;
    // While echoes still arrive, pending frames are late, not lost.
    for (const auto& call : calls_) lost += isQuiet ? call->GiveUpUnderWay() : 0;
    Enter(Phase::kTalking);
    std::printf("{\"event\":\"settled\",\"lost\":%llu,\"quiet\":%s}\n", static_cast<unsigned long long>(lost),
                isQuiet ? "true" : "false");
  }

  void BeginHold() {
    Enter(Phase::kHolding);
    crowd_.roundTrip.Reset();
    crowd_.secondRoundTrip.Reset();
    lateness_.Reset();
    seconds_.clear();
    secondAt_ = phaseAt_;
    crowd_.discarded = crowd_.unexpected = 0;
    for (const auto& call : calls_) call->BeginHold();
    cpuMs_ = CpuMs();
    std::printf("{\"event\":\"holding\"}\n");
  }

  void EndHold() {
    heldMs_ = static_cast<double>(Now() - phaseAt_) / kMs;
    cpuMs_ = CpuMs() - cpuMs_;
    discarded_ = crowd_.discarded;
    for (const auto& call : calls_) call->EndHold();
    Enter(Phase::kEnding);
  }

  void EndSecond(int64_t now) {
    secondAt_ = now;
    if (seconds_.size() < kMaxSeconds) seconds_.push_back(crowd_.secondRoundTrip.QuantileMs(0.99));
    crowd_.secondRoundTrip.Reset();
  }

  bool HasAll() const {
    for (const auto& call : calls_)
      if (call->echoedInHold() < call->sentInHold()) return false;
    return true;
  }

  void Report() {
    uint64_t sent = 0, received = 0;
    for (const auto& call : calls_) {
      sent += call->sentInHold();
      received += call->echoedInHold();
    }
    const auto count = [](uint64_t value) { return static_cast<unsigned long long>(value); };
    const auto times = [&](const char* name, const Histogram& of) {
      std::printf("\"%s\":{\"count\":%llu,\"p50Ms\":%.4f,\"p99Ms\":%.4f,\"p999Ms\":%.4f,\"maxMs\":%.4f},", name,
                  count(of.count()), of.QuantileMs(0.5), of.QuantileMs(0.99), of.QuantileMs(0.999), of.MaxMs());
    };
    std::printf("{\"event\":\"report\",\"heldMs\":%.1f,\"sent\":%llu,\"received\":%llu,\"missing\":%llu,", heldMs_,
                count(sent), count(received), count(sent - received));
    times("roundTrip", crowd_.roundTrip);
    times("lateness", lateness_);
    std::printf("\"p99OfSeconds\":[");
    for (size_t i = 0; i < seconds_.size(); ++i) std::printf("%s%.3f", i == 0 ? "" : ",", seconds_[i]);
    std::printf("],\"discarded\":%llu,\"unexpected\":%llu,\"cpu\":%.4f,", count(discarded_), count(crowd_.unexpected),
                cpuMs_ / std::max(heldMs_, 1.0));
    std::printf("\"tls\":%s,\"streaming\":%u,\"failed\":%u,\"lost\":%u,\"firstError\":%s}\n",
                Quoted(crowd_.cipher).c_str(), crowd_.streaming, crowd_.failed, crowd_.lost,
                Quoted(crowd_.firstError).c_str());
    Enter(Phase::kTalking);
  }

  const size_t phones_;
  Crowd crowd_;
  std::vector<std::unique_ptr<Phone>> calls_;
  Histogram lateness_;
  /** Whose frame is due next: a phone, in which period. */
  size_t turn_ = 0;
  int64_t round_ = 0;
  int64_t begunAt_ = 0;
  Phase phase_ = Phase::kTalking;
  int64_t phaseAt_ = 0;
  int64_t housekeepingAt_ = 0;
  int64_t handshakesAt_ = 0;
  std::string line_;
  uint32_t told_[3] = {0, 0, 0};
  uint64_t quietAt_ = 0;
  int64_t quietSince_ = 0;
  double cpuMs_ = 0;
  double heldMs_ = 0;
  uint64_t discarded_ = 0;
  int64_t secondAt_ = 0;
  std::vector<double> seconds_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "Expected a file of frames, a number of phones, and perhaps ciphers or rtp\n");
    return 1;
  }
  std::signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Sleep as long as asked and no 50 us more.
  prctl(PR_SET_TIMERSLACK, 1);
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  const auto phones = static_cast<size_t>(std::clamp(std::strtol(argv[2], nullptr, 10), 0L, 100'000L));
  const std::string last = argc == 4 ? argv[3] : "";
  if (last == "rtp") return std::make_unique<Generator<RtpCall>>(argv[1], phones, "")->Run();
  return std::make_unique<Generator<Call>>(argv[1], phones, last)->Run();
}
