// The JavaScript face of the core, and the only file that knows Node-API. It checks every argument, turns it into plain
// memory and calls the core; src/media/native.ts describes each export.
//
// All state belongs to the environment (main thread or worker) that loaded the addon: there are no globals. C++
// exceptions are off, so a function that fails has thrown a JavaScript exception and returns null.

#include <napi.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base64.h"
#include "dtmf.h"
#include "kernels/kernels.h"
#include "mixer.h"
#include "payload.h"
#include "resampler.h"
#include "shortener.h"
#include "transcoder.h"

namespace trunkline {
namespace {

/// What the exports of one environment share. Kept alive by each of them and by the slab's ArrayBuffer, so that the
/// order in which a closing environment finalises them does not matter.
struct Environment {
  Workspace workspace = {};
  int64_t liveTranscoders = 0;
};

using EnvironmentPtr = std::shared_ptr<Environment>;

EnvironmentPtr CurrentEnvironment(Napi::Env env) { return *env.GetInstanceData<EnvironmentPtr>(); }

const Kernels& CurrentKernels(Napi::Env env) { return *CurrentEnvironment(env)->workspace.kernels; }

/// Memory of a JavaScript value: valid until JavaScript runs again.
template <typename T>
struct Span {
  T* data = nullptr;
  size_t length = 0;  // elements
};

// ---- Errors: "Expected X for Y but received Z" ----

const char* TypedArrayName(napi_typedarray_type type) {
  switch (type) {
    case napi_int8_array: return "Int8Array";
    case napi_uint8_array: return "Uint8Array";
    case napi_uint8_clamped_array: return "Uint8ClampedArray";
    case napi_int16_array: return "Int16Array";
    case napi_uint16_array: return "Uint16Array";
    case napi_int32_array: return "Int32Array";
    case napi_uint32_array: return "Uint32Array";
    case napi_float32_array: return "Float32Array";
    case napi_float64_array: return "Float64Array";
    case napi_bigint64_array: return "BigInt64Array";
    case napi_biguint64_array: return "BigUint64Array";
    default: return "a typed array";
  }
}

/// Names a value without running any JavaScript of its owner.
std::string Describe(Napi::Value value) {
  switch (value.Type()) {
    case napi_string: {
      std::string text = value.As<Napi::String>();
      constexpr size_t kLongest = 60;
      return '"' + (text.size() > kLongest ? text.substr(0, kLongest) + "..." : text) + '"';
    }
    case napi_symbol: return "a symbol";
    case napi_function: return "a function";
    case napi_external: return "an external value";
    case napi_object: break;
    default: return value.ToString();
  }
  if (value.IsTypedArray()) {
    const auto array = value.As<Napi::TypedArray>();
    return TypedArrayName(array.TypedArrayType()) + (" of " + std::to_string(array.ByteLength())) + " bytes";
  }
  if (value.IsArrayBuffer()) {
    return "ArrayBuffer of " + std::to_string(value.As<Napi::ArrayBuffer>().ByteLength()) + " bytes";
  }
  if (value.IsDataView()) return "DataView";
  return value.IsArray() ? "Array" : "Object";
}

std::string Expected(const std::string& what, const char* subject, const std::string& received) {
  return "Expected " + what + " for " + subject + " but received " + received;
}

bool ThrowType(napi_env env, const char* what, const char* subject, napi_value received) {
  napi_throw_type_error(env, nullptr, Expected(what, subject, Describe(Napi::Value(env, received))).c_str());
  return false;
}

bool ThrowRange(napi_env env, const std::string& what, const char* subject, const std::string& received) {
  napi_throw_range_error(env, nullptr, Expected(what, subject, received).c_str());
  return false;
}

std::string Count(size_t count, const char* unit) { return std::to_string(count) + " " + unit; }

// ---- Arguments. Each reader has thrown if it returns false. ----

template <typename T>
bool ReadArray(napi_env env, napi_value value, napi_typedarray_type type, const char* what, const char* subject,
               Span<T>* span) {
  napi_typedarray_type actual;
  void* data;
  // Fails for everything but a typed array; a detached one has length 0.
  if (napi_get_typedarray_info(env, value, &actual, &span->length, &data, nullptr, nullptr) != napi_ok ||
      actual != type) {
    return ThrowType(env, what, subject, value);
  }
  span->data = static_cast<T*>(data);
  return true;
}

bool ReadPcm(napi_env env, napi_value value, const char* subject, Span<int16_t>* pcm) {
  return ReadArray(env, value, napi_int16_array, "an Int16Array", subject, pcm);
}

bool ReadBytes(napi_env env, napi_value value, const char* subject, Span<uint8_t>* bytes) {
  return ReadArray(env, value, napi_uint8_array, "a Uint8Array", subject, bytes);
}

/// An ArrayBuffer, which is what a WebSocket gives, or any view of one.
bool ReadMessage(napi_env env, napi_value value, std::string_view* message) {
  void* data;
  size_t length;
  // Since Node 24 there is information of a SharedArrayBuffer, too, which nobody gives by itself.
  bool isBuffer = false;
  if (napi_is_arraybuffer(env, value, &isBuffer) != napi_ok || !isBuffer ||
      napi_get_arraybuffer_info(env, value, &data, &length) != napi_ok) {
    bool isView = false;  // napi_is_buffer is true for every ArrayBufferView; its info is in bytes
    if (napi_is_buffer(env, value, &isView) != napi_ok || !isView ||
        napi_get_buffer_info(env, value, &data, &length) != napi_ok) {
      return ThrowType(env, "an ArrayBuffer or a view of one", "message", value);
    }
  }
  *message = {static_cast<const char*>(data), length};
  return true;
}

bool CheckWholeFrames(napi_env env, size_t samples, const char* subject) {
  return samples % kRatio == 0 || ThrowRange(env, "a multiple of 6 samples", subject, Count(samples, "samples"));
}

bool CheckRoom(napi_env env, size_t needed, size_t room, const char* unit) {
  return room >= needed || ThrowRange(env, "room for " + Count(needed, unit), "out", Count(room, unit));
}

bool CheckLength(napi_env env, size_t wanted, size_t length, const char* subject) {
  return length == wanted || ThrowRange(env, Count(wanted, "samples"), subject, Count(length, "samples"));
}

/// Whether `samples` are those of 1 to kMaxMixMembers members, as many of each.
bool CheckMembers(napi_env env, size_t members, size_t samples) {
  if (members == 0 || members > kMaxMixMembers) {
    return ThrowRange(env, "1 to " + Count(kMaxMixMembers, "members"), "active", Count(members, "members"));
  }
  return samples % members == 0 ||
         ThrowRange(env, "a multiple of " + Count(members, "samples"), "inputs", Count(samples, "samples"));
}

Napi::Value Number(Napi::Env env, size_t count) { return Napi::Number::New(env, static_cast<double>(count)); }

// ---- class Transcoder ----

class TranscoderObject : public Napi::ObjectWrap<TranscoderObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "Transcoder",
        {InstanceMethod<&TranscoderObject::Bind>("bind"),
         // Called for every frame, hence without the wrapping of the others.
         napi_property_descriptor{"receive", nullptr, Receive, nullptr, nullptr, nullptr, napi_default, nullptr},
         napi_property_descriptor{"transmit", nullptr, Transmit, nullptr, nullptr, nullptr, napi_default, nullptr},
         InstanceMethod<&TranscoderObject::ReceivePayload>("receivePayload"),
         InstanceMethod<&TranscoderObject::Conceal>("conceal"),
         InstanceMethod<&TranscoderObject::Decode>("decode"), InstanceMethod<&TranscoderObject::Encode>("encode"),
         InstanceMethod<&TranscoderObject::Close>("close")});
  }

  explicit TranscoderObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), environment_(CurrentEnvironment(info.Env())) {
    Format format = Format::kMulaw;
    if (!info[0].IsUndefined() &&
        !(info[0].IsString() && FindFormat(info[0].As<Napi::String>().Utf8Value(), &format))) {
      ThrowRange(info.Env(), "mulaw, alaw, l16 or l16le", "format", Describe(info[0]));
      return;
    }
    transcoder_ = std::make_unique<Transcoder>(format);
    ++environment_->liveTranscoders;
  }

  ~TranscoderObject() override { Free(); }

 private:
  void Free() {
    if (!transcoder_) return;
    transcoder_.reset();
    --environment_->liveTranscoders;
  }

  bool CheckOpen(napi_env env) const {
    if (transcoder_) return true;
    napi_throw_error(env, "GW_TRANSCODER_CLOSED", "Expected an open transcoder but received a closed one");
    return false;
  }

  bool CheckBound(napi_env env) const {
    if (transcoder_->bound()) return true;
    napi_throw_error(env, "GW_TRANSCODER_UNBOUND",
                     "Expected a transcoder bound to a stream but received an unbound one");
    return false;
  }

  /// Reads the receiver and the one argument of a plain callback.
  static TranscoderObject* ReadReceiver(napi_env env, napi_callback_info info, napi_value* argument) {
    size_t count = 1;
    napi_value self;
    void* object;
    if (napi_get_cb_info(env, info, &count, argument, &self, nullptr) != napi_ok) return nullptr;
    // V8 refuses a call on any object that the Transcoder constructor did not make, so whatever is wrapped is ours.
    if (napi_unwrap(env, self, &object) != napi_ok) {
      ThrowType(env, "a Transcoder", "this", self);
      return nullptr;
    }
    auto* transcoder = static_cast<TranscoderObject*>(object);
    return transcoder->CheckOpen(env) ? transcoder : nullptr;
  }

  static napi_value Receive(napi_env env, napi_callback_info info) {
    napi_value argument, result = nullptr;
    TranscoderObject* self = ReadReceiver(env, info, &argument);
    std::string_view message;
    if (!self || !ReadMessage(env, argument, &message) || !self->CheckBound(env)) return nullptr;
    const ptrdiff_t samples = self->transcoder_->Receive(message, &self->environment_->workspace);
    napi_create_int32(env, static_cast<int32_t>(samples), &result);
    return result;
  }

  static napi_value Transmit(napi_env env, napi_callback_info info) {
    napi_value argument, result = nullptr;
    TranscoderObject* self = ReadReceiver(env, info, &argument);
    Span<int16_t> pcm;
    if (!self || !ReadPcm(env, argument, "pcm", &pcm) || !self->CheckBound(env)) return nullptr;
    if (pcm.length == 0 || pcm.length > kMaxTransmit || pcm.length % kRatio != 0) {
      ThrowRange(env, "a multiple of 6 from 6 to " + Count(kMaxTransmit, "samples"), "pcm",
                 Count(pcm.length, "samples"));
      return nullptr;
    }
    const size_t length = self->transcoder_->Transmit(pcm.data, pcm.length, &self->environment_->workspace);
    napi_create_uint32(env, static_cast<uint32_t>(length), &result);
    return result;
  }

  void Bind(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (!CheckOpen(env)) return;
    if (!info[0].IsString()) {
      ThrowType(env, "a string", "streamSid", info[0]);
      return;
    }
    const std::string streamSid = info[0].As<Napi::String>();
    if (!transcoder_->Bind(streamSid)) {
      ThrowRange(env, "1 to " + std::to_string(kMaxStreamSid) + " characters of A-Z a-z 0-9 _ -", "streamSid",
                 Describe(info[0]));
    }
  }

  Napi::Value ReceivePayload(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Span<uint8_t> text;
    if (!CheckOpen(env) || !ReadBytes(env, info[0], "base64", &text)) return Napi::Value();
    if (!info[1].IsNumber()) {
      ThrowType(env, "a number", "timestampMs", info[1]);
      return Napi::Value();
    }
    const std::string_view base64(reinterpret_cast<const char*>(text.data), text.length);
    const ptrdiff_t samples = transcoder_->ReceivePayload(base64, info[1].As<Napi::Number>(), &environment_->workspace);
    return Napi::Number::New(env, static_cast<double>(samples));
  }

  Napi::Value Conceal(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (!CheckOpen(env)) return Napi::Value();
    if (!info[0].IsNumber()) {
      ThrowType(env, "a number", "samples", info[0]);
      return Napi::Value();
    }
    const double samples = info[0].As<Napi::Number>();
    if (!(samples >= kRatio && samples <= kMaxConcealed && std::fmod(samples, kRatio) == 0)) {
      ThrowRange(env, "a multiple of 6 from 6 to " + std::to_string(kMaxConcealed), "samples", Describe(info[0]));
      return Napi::Value();
    }
    transcoder_->Conceal(static_cast<size_t>(samples), &environment_->workspace);
    return info[0];
  }

  Napi::Value Decode(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Span<uint8_t> payload;
    Span<int16_t> out;
    if (!CheckOpen(env) || !ReadBytes(env, info[0], "payload", &payload) || !ReadPcm(env, info[1], "out", &out)) {
      return Napi::Value();
    }
    const size_t width = BytesPerSample(transcoder_->format()), count = payload.length / width;
    if (payload.length % width != 0) {
      ThrowRange(env, "a multiple of 2 bytes", "payload", Count(payload.length, "bytes"));
      return Napi::Value();
    }
    if (!CheckRoom(env, kRatio * count, out.length, "samples")) return Napi::Value();
    transcoder_->Decode(*environment_->workspace.kernels, payload.data, count, out.data);
    return Number(env, kRatio * count);
  }

  Napi::Value Encode(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Span<int16_t> pcm;
    Span<uint8_t> out;
    if (!CheckOpen(env) || !ReadPcm(env, info[0], "pcm", &pcm) || !ReadBytes(env, info[1], "out", &out) ||
        !CheckWholeFrames(env, pcm.length, "pcm")) {
      return Napi::Value();
    }
    const size_t count = pcm.length / kRatio, bytes = count * BytesPerSample(transcoder_->format());
    if (!CheckRoom(env, bytes, out.length, "bytes")) return Napi::Value();
    transcoder_->Encode(*environment_->workspace.kernels, pcm.data, count, out.data);
    return Number(env, bytes);
  }

  void Close(const Napi::CallbackInfo&) { Free(); }

  EnvironmentPtr environment_;
  std::unique_ptr<Transcoder> transcoder_;  // null once closed
};

// ---- class Upsampler, class Downsampler ----

class UpsamplerObject : public Napi::ObjectWrap<UpsamplerObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Upsampler", {InstanceMethod<&UpsamplerObject::Process>("process")});
  }

  explicit UpsamplerObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

 private:
  Napi::Value Process(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Span<int16_t> in, out;
    if (!ReadPcm(env, info[0], "pcm", &in) || !ReadPcm(env, info[1], "out", &out) ||
        !CheckRoom(env, kRatio * in.length, out.length, "samples")) {
      return Napi::Value();
    }
    upsampler_.Process(CurrentKernels(env), in.data, in.length, out.data);
    return Number(env, kRatio * in.length);
  }

  Upsampler upsampler_;
};

class DownsamplerObject : public Napi::ObjectWrap<DownsamplerObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Downsampler", {InstanceMethod<&DownsamplerObject::Process>("process")});
  }

  explicit DownsamplerObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

 private:
  Napi::Value Process(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Span<int16_t> in, out;
    if (!ReadPcm(env, info[0], "pcm", &in) || !ReadPcm(env, info[1], "out", &out) ||
        !CheckWholeFrames(env, in.length, "pcm") || !CheckRoom(env, in.length / kRatio, out.length, "samples")) {
      return Napi::Value();
    }
    downsampler_.Process(CurrentKernels(env), in.data, in.length / kRatio, out.data);
    return Number(env, in.length / kRatio);
  }

  Downsampler downsampler_;
};

// ---- class DtmfGenerator ----

class DtmfGeneratorObject : public Napi::ObjectWrap<DtmfGeneratorObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "DtmfGenerator",
                       {InstanceMethod<&DtmfGeneratorObject::Push>("push"),
                        InstanceMethod<&DtmfGeneratorObject::Read>("read"),
                        InstanceMethod<&DtmfGeneratorObject::Clear>("clear")});
  }

  explicit DtmfGeneratorObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

 private:
  Napi::Value Push(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (!info[0].IsString()) {
      ThrowType(env, "a string", "digits", info[0]);
      return Napi::Value();
    }
    const std::string digits = info[0].As<Napi::String>();
    // The errors do not repeat the digits: they may be somebody's PIN.
    const size_t stray = FindNonDigit(digits);
    if (stray < digits.size()) {
      ThrowRange(env, "only 0-9 * # A-D w W", "digits", "another character at index " + std::to_string(stray));
      return Napi::Value();
    }
    DtmfTiming timing;
    if (!ReadTiming(env, info[1], "toneMs", &timing.tone)) return Napi::Value();
    if (!ReadTiming(env, info[2], "pauseMs", &timing.pause)) return Napi::Value();
    if (!generator_.Push(digits, timing)) {
      napi_throw_range_error(env, "GW_DTMF_QUEUE_FULL",
                             Expected("at most " + Count(kMaxDtmfDigits, "digits"), "the queue",
                                      Count(generator_.waiting() + digits.size(), "digits"))
                                 .c_str());
      return Napi::Value();
    }
    return Number(env, generator_.left());
  }

  Napi::Value Read(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Span<int16_t> out;
    if (!ReadPcm(env, info[0], "out", &out)) return Napi::Value();
    generator_.Read(out.data, out.length);
    return Number(env, generator_.left());
  }

  void Clear(const Napi::CallbackInfo&) { generator_ = {}; }

  /// Milliseconds as samples; nothing leaves the default.
  static bool ReadTiming(Napi::Env env, Napi::Value value, const char* name, uint32_t* samples) {
    if (value.IsUndefined()) return true;
    if (!value.IsNumber()) {
      ThrowType(env, "a number", name, value);
      return false;
    }
    const double asked = std::round(value.As<Napi::Number>().DoubleValue() * 48);
    if (!(asked >= kMinDtmfTiming && asked <= kMaxDtmfTiming)) {
      ThrowRange(env, "40 to 2000 milliseconds", name, "another number");
      return false;
    }
    *samples = static_cast<uint32_t>(asked);
    return true;
  }

  DtmfGenerator generator_;
};

// ---- Functions ----

template <Format kFormat>
Napi::Value DecodeG711(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Span<uint8_t> bytes;
  Span<int16_t> out;
  if (!ReadBytes(env, info[0], "bytes", &bytes) || !ReadPcm(env, info[1], "out", &out) ||
      !CheckRoom(env, bytes.length, out.length, "samples")) {
    return Napi::Value();
  }
  DecodePayload(CurrentKernels(env), kFormat, bytes.data, bytes.length, out.data);
  return Number(env, bytes.length);
}

template <Format kFormat>
Napi::Value EncodeG711(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Span<int16_t> pcm;
  Span<uint8_t> out;
  if (!ReadPcm(env, info[0], "pcm", &pcm) || !ReadBytes(env, info[1], "out", &out) ||
      !CheckRoom(env, pcm.length, out.length, "bytes")) {
    return Napi::Value();
  }
  EncodePayload(CurrentKernels(env), kFormat, pcm.data, pcm.length, out.data);
  return Number(env, pcm.length);
}

Napi::Value DecodeBase64Text(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Span<uint8_t> text, out;
  if (!ReadBytes(env, info[0], "text", &text) || !ReadBytes(env, info[1], "out", &out) ||
      !CheckRoom(env, text.length / 4 * 3, out.length, "bytes")) {
    return Napi::Value();
  }
  return Napi::Number::New(env, static_cast<double>(DecodeBase64(CurrentKernels(env), text.data, text.length, out.data)));
}

Napi::Value EncodeBase64Bytes(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Span<uint8_t> bytes, out;
  if (!ReadBytes(env, info[0], "bytes", &bytes) || !ReadBytes(env, info[1], "out", &out) ||
      !CheckRoom(env, Base64Length(bytes.length), out.length, "bytes")) {
    return Napi::Value();
  }
  return Number(env, EncodeBase64(CurrentKernels(env), bytes.data, bytes.length, reinterpret_cast<char*>(out.data)));
}

void MixMembersMinus(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Span<int16_t> inputs, outputs;
  Span<uint8_t> active;
  if (!ReadPcm(env, info[0], "inputs", &inputs) || !ReadBytes(env, info[1], "active", &active) ||
      !ReadPcm(env, info[2], "outputs", &outputs) || !CheckMembers(env, active.length, inputs.length) ||
      !CheckLength(env, inputs.length, outputs.length, "outputs")) {
    return;
  }
  MixMinus(CurrentKernels(env), inputs.data, active.data, active.length, inputs.length / active.length, outputs.data);
}

void MixMembers(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Span<int16_t> inputs, output;
  Span<uint8_t> active;
  if (!ReadPcm(env, info[0], "inputs", &inputs) || !ReadBytes(env, info[1], "active", &active) ||
      !ReadPcm(env, info[2], "output", &output) || !CheckMembers(env, active.length, inputs.length) ||
      !CheckLength(env, inputs.length / active.length, output.length, "output")) {
    return;
  }
  Mix(CurrentKernels(env), inputs.data, active.data, active.length, output.length, output.data);
}

Napi::Value ShortenPiece(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Span<int16_t> pcm;
  if (!ReadPcm(env, info[0], "pcm", &pcm)) return Napi::Value();
  if (!info[1].IsNumber()) {
    ThrowType(env, "a number", "most", info[1]);
    return Napi::Value();
  }
  if (pcm.length < kMinShortened || pcm.length > kMaxShortened) {
    ThrowRange(env, std::to_string(kMinShortened) + " to " + Count(kMaxShortened, "samples"), "pcm",
               Count(pcm.length, "samples"));
    return Napi::Value();
  }
  const double most = info[1].As<Napi::Number>();
  // No number is too large, and NaN is too small.
  const size_t period = most >= kMinPeriod ? static_cast<size_t>(std::min<double>(most, kMaxPeriod)) : 0;
  return Number(env, Shorten(pcm.data, pcm.length, period));
}

/// The names of the kernels this processor can run, best first.
Napi::Array UsableKernelNames(Napi::Env env) {
  Napi::Array names = Napi::Array::New(env);
  for (uint32_t i = 0; const Kernels* kernels = UsableKernels(i); ++i) names[i] = Napi::String::New(env, kernels->name);
  return names;
}

void UseKernels(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Kernels* kernels = info[0].IsString() ? FindKernels(info[0].As<Napi::String>().Utf8Value()) : nullptr;
  if (!kernels) {
    ThrowRange(env, "one of usableKernels", "kernels", Describe(info[0]));
    return;
  }
  CurrentEnvironment(env)->workspace.kernels = kernels;
}

Napi::Value LiveTranscoders(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(CurrentEnvironment(info.Env())->liveTranscoders));
}

// ---- The module ----

/// The slab's memory stays ours: its ArrayBuffer only holds a share of it, and may be detached at any time.
Napi::ArrayBuffer ExposeSlab(Napi::Env env, const EnvironmentPtr& environment) {
  return Napi::ArrayBuffer::New(
      env, &environment->workspace.slab, sizeof(Slab),
      [](Napi::BasicEnv, void*, EnvironmentPtr* share) { delete share; }, new EnvironmentPtr(environment));
}

Napi::Object DescribeSlab(Napi::Env env) {
  Napi::Object layout = Napi::Object::New(env);
  layout["info"] = Number(env, offsetof(Slab, info));
  layout["samples"] = Number(env, offsetof(Slab, samples));
  layout["samplesCapacity"] = Number(env, sizeof(Slab::samples) / sizeof(int16_t));
  layout["message"] = Number(env, offsetof(Slab, message));
  layout["messageCapacity"] = Number(env, sizeof(Slab::message));
  return layout;
}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  const EnvironmentPtr environment(new Environment);
  env.SetInstanceData(new EnvironmentPtr(environment));
  environment->workspace.kernels = &BestKernels();
  exports["slab"] = ExposeSlab(env, environment);
  exports["layout"] = DescribeSlab(env);
  exports["Transcoder"] = TranscoderObject::Define(env);
  exports["Upsampler"] = UpsamplerObject::Define(env);
  exports["Downsampler"] = DownsamplerObject::Define(env);
  exports["DtmfGenerator"] = DtmfGeneratorObject::Define(env);
  exports["decodeMulaw"] = Napi::Function::New<DecodeG711<Format::kMulaw>>(env, "decodeMulaw");
  exports["encodeMulaw"] = Napi::Function::New<EncodeG711<Format::kMulaw>>(env, "encodeMulaw");
  exports["decodeAlaw"] = Napi::Function::New<DecodeG711<Format::kAlaw>>(env, "decodeAlaw");
  exports["encodeAlaw"] = Napi::Function::New<EncodeG711<Format::kAlaw>>(env, "encodeAlaw");
  exports["decodeBase64"] = Napi::Function::New<DecodeBase64Text>(env, "decodeBase64");
  exports["encodeBase64"] = Napi::Function::New<EncodeBase64Bytes>(env, "encodeBase64");
  exports["mixMinus"] = Napi::Function::New<MixMembersMinus>(env, "mixMinus");
  exports["mix"] = Napi::Function::New<MixMembers>(env, "mix");
  exports["shorten"] = Napi::Function::New<ShortenPiece>(env, "shorten");
  exports["usableKernels"] = UsableKernelNames(env);
  exports["useKernels"] = Napi::Function::New<UseKernels>(env, "useKernels");
  exports["liveTranscoders"] = Napi::Function::New<LiveTranscoders>(env, "liveTranscoders");
  return exports;
}

}  // namespace

NODE_API_MODULE(trunkline, Initialize)

}  // namespace trunkline
