#include "opus.h"

namespace trunkline::rtc {
namespace {

#ifdef __APPLE__
constexpr const char* kNames[] = {"libopus.0.dylib", "/opt/homebrew/lib/libopus.0.dylib",
                                  "/usr/local/lib/libopus.0.dylib"};
#else
constexpr const char* kNames[] = {"libopus.so.0"};
#endif

/// A packet of the longest frames (RFC 6716, section 3.2.1) with all that may be padded to it.
constexpr size_t kMaxPacket = 65'535;

constexpr int kApplications[] = {2048, 2049, 2051};
/// The requests of the library's interface, by setting.
constexpr int kRequests[] = {4002, 4010, 4012, 4014, 4016, 4006, 4004};

template <class Function>
bool Find(uv_lib_t* library, const char* name, Function* function) {
  void* symbol = nullptr;
  if (uv_dlsym(library, name, &symbol) != 0) return false;
  *function = reinterpret_cast<Function>(symbol);
  return true;
}

}  // namespace

// ---- The library ----

OpusLibrary::~OpusLibrary() {
  if (isOpen_) uv_dlclose(&library_);
}

bool OpusLibrary::Open() {
  for (const char* name : kNames)
    if (isOpen_ || Load(name)) return true;
  return false;
}

bool OpusLibrary::Load(const char* name) {
  isOpen_ = uv_dlopen(name, &library_) == 0 && Find(&library_, "opus_get_version_string", &getVersion) &&
            Find(&library_, "opus_encoder_get_size", &encoderGetSize) &&
            Find(&library_, "opus_encoder_init", &encoderInit) && Find(&library_, "opus_encoder_ctl", &encoderCtl) &&
            Find(&library_, "opus_encode", &encode) && Find(&library_, "opus_decoder_get_size", &decoderGetSize) &&
            Find(&library_, "opus_decoder_init", &decoderInit) && Find(&library_, "opus_decode", &decode) &&
            Find(&library_, "opus_packet_get_nb_samples", &packetGetNbSamples);
  // It frees the text of an error too.
  if (!isOpen_) uv_dlclose(&library_);
  return isOpen_;
}

// ---- The encoder ----

std::unique_ptr<OpusEncoder> OpusEncoder::Open(const OpusLibrary& library, int32_t rate, Application application) {
  std::unique_ptr<OpusEncoder> encoder(new OpusEncoder(library));
  encoder->state_.reset(std::malloc(static_cast<size_t>(library.encoderGetSize(1))));
  const int chosen = kApplications[static_cast<size_t>(application)];
  if (!encoder->state_ || library.encoderInit(encoder->state_.get(), rate, 1, chosen) != 0) return nullptr;
  return encoder;
}

int OpusEncoder::Set(Setting setting, int32_t value) {
  return library_.encoderCtl(state_.get(), kRequests[static_cast<size_t>(setting)], value);
}

int OpusEncoder::Encode(const int16_t* pcm, size_t samples, uint8_t* out, size_t room) {
  if (samples == 0 || samples > 48'000 || room == 0) return kOpusBadArgument;
  const auto bytes = static_cast<int32_t>(room < kMaxPacket ? room : kMaxPacket);
  return library_.encode(state_.get(), pcm, static_cast<int>(samples), out, bytes);
}

// ---- The decoder ----

std::unique_ptr<OpusDecoder> OpusDecoder::Open(const OpusLibrary& library, int32_t rate) {
  std::unique_ptr<OpusDecoder> decoder(new OpusDecoder(library, rate));
  decoder->state_.reset(std::malloc(static_cast<size_t>(library.decoderGetSize(1))));
  if (!decoder->state_ || library.decoderInit(decoder->state_.get(), rate, 1) != 0) return nullptr;
  return decoder;
}

int OpusDecoder::Decode(const uint8_t* packet, size_t length, int16_t* out, size_t room) {
  // The library would take one without bytes as lost.
  if (length == 0 || length > kMaxPacket) return kOpusInvalidPacket;
  if (room == 0) return kOpusBadArgument;
  const int samples = static_cast<int>(room < MaxSamples() ? room : MaxSamples());
  return library_.decode(state_.get(), packet, static_cast<int32_t>(length), out, samples, 0);
}

int OpusDecoder::DecodeFec(const uint8_t* packet, size_t length, int16_t* out, size_t samples) {
  if (length == 0 || length > kMaxPacket) return kOpusInvalidPacket;
  if (samples == 0 || samples > MaxSamples()) return kOpusBadArgument;
  return library_.decode(state_.get(), packet, static_cast<int32_t>(length), out, static_cast<int>(samples), 1);
}

int OpusDecoder::Conceal(int16_t* out, size_t samples) {
  if (samples == 0 || samples > MaxSamples()) return kOpusBadArgument;
  return library_.decode(state_.get(), nullptr, 0, out, static_cast<int>(samples), 0);
}

int OpusDecoder::SamplesOf(const uint8_t* packet, size_t length) const {
  if (length == 0 || length > kMaxPacket) return 0;
  const int samples = library_.packetGetNbSamples(packet, static_cast<int32_t>(length), rate_);
  return samples > 0 ? samples : 0;
}

}  // namespace trunkline::rtc
