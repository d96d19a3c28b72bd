// One call's audio: Twilio's messages on one side, 48 kHz PCM on the other.

#ifndef TRUNKLINE_NATIVE_TRANSCODER_H_
#define TRUNKLINE_NATIVE_TRANSCODER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base64.h"
#include "concealer.h"
#include "kernels/kernels.h"
#include "media_message.h"
#include "payload.h"
#include "resampler.h"

namespace trunkline {

/// 8 kHz samples in a millisecond.
inline constexpr int64_t kSamplesPerMs = 8;

/// Largest message taken: the limit of the media socket. Its payload cannot be longer than kMaxPayload bytes.
inline constexpr size_t kMaxMessage = size_t{64} * 1024;
inline constexpr size_t kMaxPayload = kMaxMessage / 4 * 3;

/// A gap in the timestamps counts from the length of a usual frame, and is never filled with more than 200 ms. What was
/// heard before a longer one does not go on after it.
inline constexpr int64_t kMinGap = 20 * kSamplesPerMs;
inline constexpr int64_t kMaxFill = 200 * kSamplesPerMs;

/// Largest piece of 48 kHz audio that becomes one message: one second.
inline constexpr size_t kMaxTransmit = 48000;

/// Largest piece that is concealed at once: one second.
inline constexpr size_t kMaxConcealed = 48000;

/// What Receive learned from the last message it took.
struct ReceiveInfo {
  double timestampMs;     // place on the stream's timeline, NaN while that is unknown
  double payloadBytes;    // bytes it carried
  double filledMs;        // what was put before them
  double sequenceNumber;  // NaN if the message came as a bare payload
};

/// The outputs of all transcoders of an environment; each call overwrites the one before.
struct Slab {
  ReceiveInfo info;
  alignas(64) int16_t samples[kRatio * (kMaxPayload + kMaxFill)];
  alignas(64) char message[kMaxStreamSid + kMediaEnvelope + Base64Length(2 * kMaxTransmit / kRatio)];
};

/// A slab, the kernels that fill it, and scratch memory.
struct Workspace {
  const Kernels* kernels;
  Slab slab;
  uint8_t payload[kMaxPayload];
};

class Transcoder {
 public:
  explicit Transcoder(Format format = Format::kMulaw) : format_(format) {}

  Format format() const { return format_; }

  /// Sets the stream whose messages are taken and written, and forgets the timeline. The filters keep their state.
  /// Returns false, with nothing changed, unless the SID is 1 to kMaxStreamSid characters of A-Z a-z 0-9 _ -.
  bool Bind(std::string_view streamSid);

  bool bound() const { return streamSidLength_ > 0; }

  /// Decodes a `media` message into workspace->slab.samples at 48 kHz, after what conceals a gap before it (see
  /// Concealer), and fills in slab.info. Returns the number of samples, or -1 with nothing changed if the message is
  /// not plain (see ScanMedia).
  ptrdiff_t Receive(std::string_view message, Workspace* workspace);

  /// The same for a payload whose message was parsed elsewhere. A timestamp that is not 0 to 2^53 - 1 is taken as on
  /// time. Its padding may be missing, and there may be line breaks and spaces in it. Returns -1 with nothing changed
  /// if the text is no base64 but for that, longer than kMaxMessage, or ends within a sample.
  ptrdiff_t ReceivePayload(std::string_view base64, double timestampMs, Workspace* workspace);

  /// Fills workspace->slab.samples with `count` samples at 48 kHz, a multiple of 6 up to kMaxConcealed, for a time in
  /// which nothing came. The timeline goes on by as much: a message of that time that comes after all is heard behind
  /// it, and none of that time is a gap.
  void Conceal(size_t count, Workspace* workspace);

  /// Encodes `count` samples at 48 kHz, a multiple of 6 up to kMaxTransmit, as one message in workspace->slab.message
  /// and returns its length. Needs a bound stream. `pcm` may lie in slab.samples.
  size_t Transmit(const int16_t* pcm, size_t count, Workspace* workspace);

  /// Decodes `count` samples of payload to 6 * `count` at 48 kHz, continuing the received audio.
  void Decode(const Kernels& kernels, const uint8_t* bytes, size_t count, int16_t* pcm);

  /// Encodes 6 * `count` samples at 48 kHz to `count` samples of payload, continuing the transmitted audio.
  void Encode(const Kernels& kernels, const int16_t* pcm, size_t count, uint8_t* bytes);

 private:
  /// Places a payload that starts at `start` (8 kHz samples since the stream began) on the timeline and decodes it.
  ptrdiff_t Continue(int64_t start, size_t payloadBytes, Workspace* workspace);

  /// Makes `count` samples for a gap before a payload of `nextCount`, which lies in the workspace.
  void FillGap(size_t count, size_t nextCount, Workspace* workspace);

  using Base64Decoder = ptrdiff_t(const Kernels& kernels, const uint8_t* text, size_t length, uint8_t* bytes);

  /// Decodes base64 into the workspace and returns its bytes; -1 if it is not whole samples, or not what `decode`
  /// takes.
  ptrdiff_t TakePayload(Base64Decoder* decode, std::string_view base64, Workspace* workspace) const;

  std::string_view streamSid() const { return {streamSid_, streamSidLength_}; }

  Format format_;
  Upsampler upsampler_;
  Downsampler downsampler_;
  Concealer concealer_;
  size_t streamSidLength_ = 0;
  char streamSid_[kMaxStreamSid] = {};
  int64_t expected_ = kUnknown;  // where on the timeline the next payload starts, in 8 kHz samples

  int64_t concealedFrom_ = kNever;  // where the time before `expected_` begins that Conceal made up

  static constexpr int64_t kUnknown = -1;
  static constexpr int64_t kNever = INT64_MAX;
};

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_TRANSCODER_H_
