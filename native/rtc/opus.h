// Opus (RFC 6716) by the machine's libopus, which is looked for when it is first asked for. Mono.

#ifndef TRUNKLINE_NATIVE_RTC_OPUS_H_
#define TRUNKLINE_NATIVE_RTC_OPUS_H_

#include <uv.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace trunkline::rtc {

/// What this uses of the library, as its interface of 2012 and since has it.
class OpusLibrary {
 public:
  ~OpusLibrary();
  OpusLibrary() = default;
  OpusLibrary(const OpusLibrary&) = delete;
  OpusLibrary& operator=(const OpusLibrary&) = delete;

  /// Looks for the library, once it was not found again each time. False if there is none.
  bool Open();

  const char* (*getVersion)() = nullptr;
  int (*encoderGetSize)(int channels) = nullptr;
  int (*encoderInit)(void* encoder, int32_t rate, int channels, int application) = nullptr;
  int (*encoderCtl)(void* encoder, int request, ...) = nullptr;
  int32_t (*encode)(void* encoder, const int16_t* pcm, int samples, uint8_t* out, int32_t room) = nullptr;
  int (*decoderGetSize)(int channels) = nullptr;
  int (*decoderInit)(void* decoder, int32_t rate, int channels) = nullptr;
  int (*decode)(void* decoder, const uint8_t* packet, int32_t length, int16_t* out, int samples, int fec) = nullptr;
  int (*packetGetNbSamples)(const uint8_t* packet, int32_t length, int32_t rate) = nullptr;

 private:
  bool Load(const char* name);

  uv_lib_t library_ = {};
  bool isOpen_ = false;
};

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, FreeMemory>;

/// The library's own errors are negative too.
constexpr int kOpusBadArgument = -1;
constexpr int kOpusInvalidPacket = -4;

class OpusEncoder {
 public:
  /// In the order of src/rtc/native.ts.
  enum class Application : uint8_t { kVoip, kAudio, kRestrictedLowDelay };
  enum class Setting : uint8_t { kBitrate, kComplexity, kFec, kLossPercent, kDtx, kVbr, kMaxBandwidth };
  static constexpr uint32_t kSettings = 7;

  /// Null for a rate that Opus has not. `library` outlives it.
  static std::unique_ptr<OpusEncoder> Open(const OpusLibrary& library, int32_t rate, Application application);

  /// @returns 0, or an error
  int Set(Setting setting, int32_t value);
  /// @returns bytes, or an error
  int Encode(const int16_t* pcm, size_t samples, uint8_t* out, size_t room);

 private:
  explicit OpusEncoder(const OpusLibrary& library) : library_(library) {}

  const OpusLibrary& library_;
  Memory state_;
};

class OpusDecoder {
 public:
  static std::unique_ptr<OpusDecoder> Open(const OpusLibrary& library, int32_t rate);

  /// @returns samples, or an error
  int Decode(const uint8_t* packet, size_t length, int16_t* out, size_t room);
  /// What was lost before the packet, by the copy that it has of it.
  int DecodeFec(const uint8_t* packet, size_t length, int16_t* out, size_t samples);
  int Conceal(int16_t* out, size_t samples);
  /// 0 if it is malformed.
  int SamplesOf(const uint8_t* packet, size_t length) const;

 private:
  OpusDecoder(const OpusLibrary& library, int32_t rate) : library_(library), rate_(rate) {}

  /// Opus makes at most 120 ms at once (RFC 6716, section 2.1.4).
  size_t MaxSamples() const { return static_cast<size_t>(rate_) * 120 / 1000; }

  const OpusLibrary& library_;
  int32_t rate_;
  Memory state_;
};

}  // namespace trunkline::rtc

#endif  // TRUNKLINE_NATIVE_RTC_OPUS_H_
