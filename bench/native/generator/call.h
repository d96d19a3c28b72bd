// One phone: its WebSocket, the frame it sends every 20 ms, and which of them were echoed.

#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <deque>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "crowd.h"
#include "websocket.h"
#include "wire.h"

namespace generator {

/** Bytes that wait for a socket that takes nothing. */
constexpr size_t kMaxUnsent = 4096;
constexpr std::string_view kMark = R"({"event":"mark")";
constexpr std::string_view kPayloadKey = R"("payload":")";
constexpr std::string_view kNameKey = R"("name":")";
/** Longest name of a mark to echo, and most pending marks. */
constexpr size_t kMaxMark = 256;
constexpr size_t kMaxMarks = 256;
/** Of samples below -38 dBFS. */
constexpr int kSilentExponent = 1;

class Call : public Pairs {
 public:
  /** Whom to dial, and as whom. */
  struct Order {
    bool isSecure;
    std::string host;
    int port;
    std::string path;
    std::string publicHost;
    std::string signature;
    std::string callSid;
    std::string accountSid;
    std::string streamSid;
  };

  static bool Parse(std::istream& words, Order* order) {
    std::string scheme;
    words >> scheme >> order->host >> order->port >> order->path >> order->publicHost >> order->signature >>
        order->callSid >> order->accountSid >> order->streamSid;
    order->isSecure = scheme == "wss";
    return !words.fail() && std::max({order->callSid.size(), order->accountSid.size(), order->streamSid.size()}) <= 64;
  }

  Call(Crowd* crowd, Order order, size_t number, int64_t now)
      : Pairs(crowd), order_(std::move(order)), beganAt_(now), position_(number * 7 % crowd->audio.size()) {
    tail_ = R"("},"streamSid":")" + order_.streamSid + R"("})";
    head_ = R"({"event":"media","streamSid":")" + order_.streamSid + R"(","media":)";
    Dial();
  }

  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  bool isStreaming() const { return state_ == State::kStreaming; }
  bool isOver() const { return state_ == State::kOver; }

  /** Something happened to the socket. */
  void Ready(uint32_t events, int64_t now) {
    if (state_ == State::kConnecting) Connected(events);
    // Told once of what has come: read until there is no more.
    if (state_ != State::kConnecting && (events & ~EPOLLOUT) != 0)
      while (state_ != State::kOver && Receive(now)) continue;
  }

  /** Whether the upgrade takes longer than Twilio waits. */
  void CheckHandshake(int64_t now) {
    if ((state_ == State::kConnecting || state_ == State::kUpgrading) && now - beganAt_ > 10'000'000'000)
      Fail("no answer to the upgrade within 10 s");
  }

  /** Says the next 20 ms. */
  void Speak(int64_t now) {
    while (!marks_.empty() && marks_.front().due <= now) {
      EchoMark(marks_.front().name);
      marks_.pop_front();
    }
    if (!Flush() || underWay() == kUnderWay) {
      ++crowd_.discarded;
      return;
    }
    if (sent_ == 0) timestamp_ = (now - startedAt_) / 1'000'000;
    uint8_t frame[kMaxHeader + 512];
    char* at = reinterpret_cast<char*>(frame) + kMaxHeader;
    const char* begin = at;
    at = Put(R"({"event":"media","sequenceNumber":")", at);
    at = Put(++sequence_, at);
    at = Put(R"(","media":{"track":"inbound","chunk":")", at);
    at = Put(sent_ + 1, at);
    at = Put(R"(","timestamp":")", at);
    at = Put(static_cast<uint64_t>(timestamp_), at);
    at = Put(R"(","payload":")", at);
    at = Put(crowd_.audio[position_], at);
    at = Put(tail_, at);
    timestamp_ += kFrameMs;
    if (++position_ == crowd_.audio.size()) position_ = 0;
    Sent(now);
    Write(frame, kText, static_cast<size_t>(at - begin));
  }

  /** Hangs up as Twilio does: `stop`, then the closing handshake. */
  void Stop() {
    if (state_ == State::kStreaming) {
      state_ = State::kClosing;
      --crowd_.streaming;
      Say(R"({"event":"stop","sequenceNumber":")" + std::to_string(++sequence_) + R"(","streamSid":")" +
          order_.streamSid + R"(","stop":{"accountSid":")" + order_.accountSid + R"(","callSid":")" + order_.callSid +
          R"("}})");
      Control(kClose, "\x03\xe8", 2);
    } else if (state_ != State::kClosing) {
      End();
    }
  }

 private:
  enum class State { kConnecting, kUpgrading, kStreaming, kClosing, kOver };

  void Dial() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(order_.port));
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket < 0) return Fail(std::string("no socket: ") + std::strerror(errno));
    wire_.Open(socket);
    const int yes = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    // Others, such as BBR, set a timer for every packet.
    setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    if (inet_pton(AF_INET, order_.host.c_str(), &address.sin_addr) != 1) return Fail("not an IPv4 address");
    if (connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS)
      return Fail(std::string("no connection: ") + std::strerror(errno));
    Watch(EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT | EPOLLET);
  }

  void Watch(int operation, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = this;
    if (epoll_ctl(crowd_.epoll, operation, wire_.socket(), &event) != 0)
      Fail(std::string("epoll: ") + std::strerror(errno));
  }

  void Connected(uint32_t events) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(wire_.socket(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Fail(std::string("no connection: ") + std::strerror(error));
    if ((events & EPOLLOUT) == 0) return;
    uint8_t nonce[16];
    for (auto& byte : nonce) byte = static_cast<uint8_t>(crowd_.Random() >> 11);
    const std::string key = Base64(nonce, sizeof nonce);
    accept_ = AcceptOf(key);
    state_ = State::kUpgrading;
    Watch(EPOLL_CTL_MOD, EPOLLIN | EPOLLET);
    if (order_.isSecure && !wire_.Secure(crowd_.tls.get(), order_.publicHost))
      return Fail("compiled without TLS: it needs libssl-dev");
    Raw("GET " + order_.path + " HTTP/1.1\r\nHost: " + order_.publicHost +
        "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key +
        "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: " + order_.publicHost +
        "\r\nUser-Agent: Twilio.TmeWs/1.0\r\nx-twilio-signature: " + order_.signature + "\r\n\r\n");
  }

  /** Reads once; whether there may be more. */
  bool Receive(int64_t now) {
    char* const data = crowd_.scratch;
    std::memcpy(data, part_, partLength_);
    const ssize_t count = wire_.Read(data + partLength_);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      const bool isMore = wire_.mayHaveMore();
      // A TLS handshake may have ended: what waits for it can be sent.
      if (state_ == State::kUpgrading) Flush();
      return isMore;
    }
    if (count <= 0) {
      Fail(count == 0 ? "closed by the server" : wire_.error());
      return false;
    }
    const size_t available = partLength_ + static_cast<size_t>(count);
    size_t used = 0;
    if (state_ == State::kUpgrading) used = Upgraded({data, available}, now);
    while (state_ == State::kStreaming || state_ == State::kClosing) {
      Frame frame;
      const Read read = ReadFrame(data + used, available - used, &frame);
      if (read == Read::kPart) break;
      if (read == Read::kBroken) {
        Fail("a broken WebSocket frame");
        return false;
      }
      used += frame.size;
      Take(frame, now);
    }
    partLength_ = available - used;
    if (partLength_ > kMaxMessage) Fail("a message too long");
    if (state_ == State::kOver) return false;
    std::memcpy(part_, data + used, partLength_);
    return wire_.mayHaveMore();
  }

  /** @returns bytes of the answer, 0 while it is not whole */
  size_t Upgraded(std::string_view text, int64_t now) {
    const size_t end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) return 0;
    const std::string_view head = text.substr(0, end + 2);
    if (head.substr(0, 13) != "HTTP/1.1 101 ") {
      Fail("the upgrade was answered " + std::string(head.substr(0, head.find('\r'))));
      return 0;
    }
    if (HeaderOf(head, "sec-websocket-accept") != accept_) {
      Fail("another Sec-WebSocket-Accept than this key's");
      return 0;
    }
    state_ = State::kStreaming;
    ++crowd_.streaming;
    if (order_.isSecure) crowd_.cipher = wire_.cipher();
    startedAt_ = now;
    Say(R"({"event":"connected","protocol":"Call","version":"1.0.0"})");
    const std::string& sid = order_.streamSid;
    Say(R"({"event":"start","sequenceNumber":")" + std::to_string(++sequence_) + R"(","start":{"accountSid":")" +
        order_.accountSid + R"(","streamSid":")" + sid + R"(","callSid":")" + order_.callSid +
        R"(","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},)" +
        R"("customParameters":{}},"streamSid":")" + sid + R"("})");
    return end + 4;
  }

  static std::string_view HeaderOf(std::string_view head, std::string_view name) {
    for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
      const std::string_view line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
      if (line.size() <= name.size() || line[name.size()] != ':') continue;
      if (strncasecmp(line.data(), name.data(), name.size()) != 0) continue;
      const size_t value = line.find_first_not_of(' ', name.size() + 1);
      return value == std::string_view::npos ? std::string_view() : line.substr(value);
    }
    return {};
  }

  void Take(const Frame& frame, int64_t now) {
    switch (frame.opcode) {
      case kText: return Told({frame.payload, frame.length}, now);
      case kPing: return Control(kPong, frame.payload, frame.length);
      case kPong: return;
      case kClose:
        if (state_ == State::kClosing) return End();
        Control(kClose, frame.payload, std::min<size_t>(frame.length, 2));
        return Fail("closed by the server: " +
                    std::string(frame.payload + std::min<size_t>(frame.length, 2), frame.payload + frame.length));
      default: return Fail("an unknown WebSocket frame");
    }
  }

  void Told(std::string_view text, int64_t now) {
    if (text.substr(0, head_.size()) == head_) {
      playedAt_ = std::max(playedAt_, now) + kFrameMs * 1'000'000;
      // Words are said all the time: silence is what the server says while it hears nothing.
      if (IsSilent(ValueOf(text, kPayloadKey))) return;
      return Echoed(now);
    } else if (const auto name = ValueOf(text, kNameKey);
               text.substr(0, kMark.size()) == kMark && name.size() - 1 < kMaxMark) {
      // Echoed when the audio before it was played, as Twilio does.
      if (playedAt_ <= now) return EchoMark(std::string(name));
      if (marks_.size() < kMaxMarks) return marks_.push_back({playedAt_, std::string(name)});
    }
    ++crowd_.unexpected;
  }

  void EchoMark(const std::string& name) {
    Say(R"({"event":"mark","sequenceNumber":")" + std::to_string(++sequence_) + R"(","streamSid":")" +
        order_.streamSid + R"(","mark":{"name":")" + name + R"("}})");
  }

  /** The text between a key and the next quotation mark; empty if there is none. */
  static std::string_view ValueOf(std::string_view text, std::string_view key) {
    const size_t at = text.find(key);
    if (at == std::string_view::npos) return {};
    text.remove_prefix(at + key.size());
    return text.substr(0, text.find('"'));
  }

  /** Whether no byte is louder than -38 dBFS: of every third, the first base64 character holds sign and exponent. */
  static bool IsSilent(std::string_view payload) {
    for (size_t i = 0; i < payload.size(); i += 4)
      if ((ExponentOf(payload[i]) ^ 7) > kSilentExponent) return false;
    return true;
  }

  static int ExponentOf(char digit) { return Base64Digit(digit) >> 2 & 7; }

  void Say(const std::string& text) {
    uint8_t frame[kMaxHeader + 1024];
    const size_t length = std::min<size_t>(text.size(), 1024);
    std::memcpy(frame + kMaxHeader, text.data(), length);
    Write(frame, kText, length);
  }

  void Control(Opcode opcode, const char* payload, size_t length) {
    uint8_t frame[kMaxHeader + 125];
    length = std::min<size_t>(length, 125);
    std::memcpy(frame + kMaxHeader, payload, length);
    Write(frame, opcode, length);
  }

  void Write(uint8_t* frame, Opcode opcode, size_t length) {
    const uint8_t* begin = Seal(frame, opcode, length, crowd_.Random());
    Raw({reinterpret_cast<const char*>(begin), static_cast<size_t>(frame + kMaxHeader + length - begin)});
  }

  /** What the socket does not take waits; `Flush` tries again. */
  void Raw(std::string_view bytes) {
    if (state_ == State::kOver) return;
    if (Flush()) {
      const ssize_t count = wire_.Write(bytes.data(), bytes.size());
      if (count < 0 && errno != EAGAIN && errno != EINTR) return Fail(wire_.error());
      bytes.remove_prefix(count < 0 ? 0 : static_cast<size_t>(count));
    }
    if (unsent_.size() + bytes.size() > kMaxUnsent) return Fail("a socket that takes nothing");
    unsent_ += bytes;
  }

  /** Whether nothing waits any more. */
  bool Flush() {
    if (unsent_.empty()) return true;
    const ssize_t count = wire_.Write(unsent_.data(), unsent_.size());
    if (count > 0) unsent_.erase(0, static_cast<size_t>(count));
    return unsent_.empty();
  }

  /** Failed where it never streamed, lost where it did. */
  void Fail(const std::string& reason) {
    if (state_ == State::kOver) return;
    if (state_ == State::kStreaming) {
      ++crowd_.lost;
      --crowd_.streaming;
    } else if (state_ != State::kClosing) {
      ++crowd_.failed;
    }
    if (state_ != State::kClosing && crowd_.firstError.empty()) crowd_.firstError = reason;
    End();
  }

  void End() {
    wire_.Close();
    state_ = State::kOver;
  }

  static char* Put(std::string_view text, char* at) {
    std::memcpy(at, text.data(), text.size());
    return at + text.size();
  }

  static char* Put(uint64_t number, char* at) {
    char digits[20];
    char* first = digits + sizeof digits;
    do *--first = static_cast<char>('0' + number % 10);
    while (number /= 10);
    return Put({first, static_cast<size_t>(digits + sizeof digits - first)}, at);
  }

  const Order order_;
  State state_ = State::kConnecting;
  Wire wire_;
  const int64_t beganAt_;
  int64_t startedAt_ = 0;
  std::string accept_;
  /** What follows a payload; how an echo begins. */
  std::string tail_;
  std::string head_;
  uint64_t sequence_ = 0;
  int64_t timestamp_ = 0;
  size_t position_;
  /** When all that came will have been played, and marks to tell of then. */
  int64_t playedAt_ = 0;
  struct Mark {
    int64_t due;
    std::string name;
  };
  std::deque<Mark> marks_;
  std::string unsent_;
  size_t partLength_ = 0;
  char part_[kMaxMessage];
};

}  // namespace generator
