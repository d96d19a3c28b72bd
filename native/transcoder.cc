#include "transcoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace trunkline {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kMaxSafeInteger = 9007199254740991.0;

bool IsSidCharacter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

}  // namespace

bool Transcoder::Bind(std::string_view streamSid) {
  if (streamSid.empty() || streamSid.size() > kMaxStreamSid) return false;
  if (!std::all_of(streamSid.begin(), streamSid.end(), IsSidCharacter)) return false;
  std::memcpy(streamSid_, streamSid.data(), streamSid.size());
  streamSidLength_ = streamSid.size();
  expected_ = kUnknown;
  concealedFrom_ = kNever;
  return true;
}

ptrdiff_t Transcoder::Receive(std::string_view message, Workspace* workspace) {
  MediaMessage media;
  if (!bound() || message.size() > kMaxMessage || !ScanMedia(message, streamSid(), &media)) return -1;
  const ptrdiff_t payloadBytes = TakePayload(DecodeBase64, media.payload, workspace);
  if (payloadBytes < 0) return -1;
  workspace->slab.info.sequenceNumber = static_cast<double>(media.sequenceNumber);
  return Continue(media.timestamp * kSamplesPerMs, payloadBytes, workspace);
}

ptrdiff_t Transcoder::ReceivePayload(std::string_view base64, double timestampMs, Workspace* workspace) {
  if (base64.size() > kMaxMessage) return -1;
  ptrdiff_t payloadBytes = TakePayload(DecodeBase64, base64, workspace);
  if (payloadBytes < 0) payloadBytes = TakePayload(DecodeLooseBase64, base64, workspace);
  if (payloadBytes < 0) return -1;
  const bool known = timestampMs >= 0 && timestampMs <= kMaxSafeInteger;
  const int64_t start = known ? static_cast<int64_t>(std::floor(timestampMs * kSamplesPerMs)) : expected_;
  workspace->slab.info.sequenceNumber = kNaN;
  return Continue(start, payloadBytes, workspace);
}

ptrdiff_t Transcoder::TakePayload(Base64Decoder* decode, std::string_view base64, Workspace* workspace) const {
  const auto* text = reinterpret_cast<const uint8_t*>(base64.data());
  const ptrdiff_t bytes = decode(*workspace->kernels, text, base64.size(), workspace->payload);
  return bytes % static_cast<ptrdiff_t>(BytesPerSample(format_)) == 0 ? bytes : -1;
}

ptrdiff_t Transcoder::Continue(int64_t start, size_t payloadBytes, Workspace* workspace) {
  // Before the first timestamp there is nothing to compare with; a step backwards only sets the timeline anew.
  const int64_t gap = expected_ == kUnknown ? 0 : start - expected_;
  const size_t fill = gap >= kMinGap ? static_cast<size_t>(std::min(gap, kMaxFill)) : 0;
  const size_t count = payloadBytes / BytesPerSample(format_);
  // Audio of a concealed time is late: its gaps are not filled again.
  const int64_t end = start == kUnknown ? kUnknown : start + static_cast<int64_t>(count);
  const bool late = gap < 0 && start >= concealedFrom_;
  expected_ = late ? std::max(expected_, end) : end;
  if (!late) concealedFrom_ = kNever;

  ReceiveInfo& info = workspace->slab.info;
  info.timestampMs = start == kUnknown ? kNaN : static_cast<double>(start) / kSamplesPerMs;
  info.payloadBytes = static_cast<double>(payloadBytes);
  info.filledMs = static_cast<double>(fill) / kSamplesPerMs;

  // Otherwise the last samples before the gap would be heard again, as a tick.
  if (gap > kMaxFill) {
    upsampler_ = {};
    concealer_.Forget();
  }
  if (fill > 0) FillGap(fill, count, workspace);
  Decode(*workspace->kernels, workspace->payload, count, workspace->slab.samples + kRatio * fill);
  return static_cast<ptrdiff_t>(kRatio * (fill + count));
}

void Transcoder::FillGap(size_t count, size_t nextCount, Workspace* workspace) {
  int16_t linear[kMaxFill], next[kBlock];
  const size_t ahead = std::min<size_t>(nextCount, kBlock);
  DecodePayload(*workspace->kernels, format_, workspace->payload, ahead, next);
  concealer_.Fill(linear, count);
  concealer_.Approach(linear, count, next, ahead);
  upsampler_.Process(*workspace->kernels, linear, count, workspace->slab.samples);
}

void Transcoder::Conceal(size_t count, Workspace* workspace) {
  int16_t* out = workspace->slab.samples;
  size_t left = count / kRatio;
  if (expected_ != kUnknown) {
    concealedFrom_ = std::min(concealedFrom_, expected_);
    expected_ += static_cast<int64_t>(left);
  }
  int16_t linear[kBlock];
  while (left > 0) {
    const size_t block = std::min<size_t>(left, kBlock);
    concealer_.Fill(linear, block);
    upsampler_.Process(*workspace->kernels, linear, block, out);
    out += kRatio * block;
    left -= block;
  }
}

size_t Transcoder::Transmit(const int16_t* pcm, size_t count, Workspace* workspace) {
  const size_t samples = count / kRatio;
  const size_t payloadBytes = samples * BytesPerSample(format_);
  Encode(*workspace->kernels, pcm, samples, workspace->payload);
  return WriteMedia(*workspace->kernels, streamSid(), workspace->payload, payloadBytes, workspace->slab.message);
}

void Transcoder::Decode(const Kernels& kernels, const uint8_t* bytes, size_t count, int16_t* pcm) {
  int16_t linear[kBlock];
  while (count > 0) {
    const size_t block = std::min<size_t>(count, kBlock);
    DecodePayload(kernels, format_, bytes, block, linear);
    const bool merges = concealer_.filling();
    if (merges) concealer_.Merge(linear, block);
    upsampler_.Process(kernels, linear, block, pcm);
    if (format_ == Format::kMulaw && !merges) {
      concealer_.Remember(linear, bytes, block);
    } else {
      uint8_t mulaw[kBlock];
      kernels.encodeMulaw(linear, block, mulaw);
      concealer_.Remember(linear, mulaw, block);
    }
    bytes += block * BytesPerSample(format_);
    pcm += kRatio * block;
    count -= block;
  }
}

void Transcoder::Encode(const Kernels& kernels, const int16_t* pcm, size_t count, uint8_t* bytes) {
  int16_t linear[kBlock];
  while (count > 0) {
    const size_t block = std::min<size_t>(count, kBlock);
    downsampler_.Process(kernels, pcm, block, linear);
    EncodePayload(kernels, format_, linear, block, bytes);
    pcm += kRatio * block;
    bytes += block * BytesPerSample(format_);
    count -= block;
  }
}

}  // namespace trunkline
