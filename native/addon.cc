// The core as a Node addon, and the only file that knows Node-API. It trusts its caller: src/media/checked-core.ts
// checks every argument and documents each export.
//
// All state belongs to the environment (main thread or worker) that loaded the addon: there are no globals. C++
// exceptions are off, so a function that fails has thrown a JavaScript exception and returns null.

#include <napi.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base64.h"
#include "dtmf.h"
#include "handle_table.h"
#include "kernels/kernels.h"
#include "mixer.h"
#include "payload.h"
#include "resampler.h"
#include "shortener.h"
#include "transcoder.h"

namespace trunkline {
namespace {

using TranscoderTable = HandleTable<Transcoder, 20>;

/// What the exports of one environment share. Kept alive by each of them and by the slab's ArrayBuffer, so that the
/// order in which a closing environment finalises them does not matter.
struct Environment {
  Workspace workspace = {};
  TranscoderTable transcoders;
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

/// The elements of a typed array; none if its memory was given away.
template <typename T>
Span<T> Elements(napi_env env, napi_value value) {
  Span<T> span;
  void* data = nullptr;
  napi_get_typedarray_info(env, value, nullptr, &span.length, &data, nullptr, nullptr);
  span.data = static_cast<T*>(data);
  return span;
}

Span<int16_t> Pcm(const Napi::CallbackInfo& info, size_t at) { return Elements<int16_t>(info.Env(), info[at]); }
Span<uint8_t> Bytes(const Napi::CallbackInfo& info, size_t at) { return Elements<uint8_t>(info.Env(), info[at]); }

/// The bytes of an ArrayBuffer, which is what a WebSocket gives, or of any view of one; none of any other value.
std::string_view Message(napi_env env, napi_value value) {
  void* data = nullptr;
  size_t length = 0;
  if (napi_get_arraybuffer_info(env, value, &data, &length) != napi_ok) {
    bool isView = false;  // napi_is_buffer is true for every ArrayBufferView
    if (napi_is_buffer(env, value, &isView) != napi_ok || !isView) return {};
    napi_get_buffer_info(env, value, &data, &length);
  }
  return {static_cast<const char*>(data), length};
}

Napi::Value Number(Napi::Env env, size_t count) { return Napi::Number::New(env, static_cast<double>(count)); }

// ---- Transcoders: numbers for JavaScript, see handle_table.h ----

/// A handle's transcoder; null with an exception thrown if it was closed.
Transcoder* FindTranscoder(napi_env env, napi_value handle, const Environment& environment) {
  uint32_t number = TranscoderTable::kNone;
  napi_get_value_uint32(env, handle, &number);
  Transcoder* transcoder = environment.transcoders.Find(number);
  if (!transcoder) napi_throw_error(env, "GW_TRANSCODER_CLOSED", "The transcoder has already been closed");
  return transcoder;
}

Transcoder* FindTranscoder(const Napi::CallbackInfo& info) {
  return FindTranscoder(info.Env(), info[0], *CurrentEnvironment(info.Env()));
}

/// A call for every frame, hence without node-addon-api's wrapping: a handle and one more argument.
struct FrameCall {
  FrameCall(napi_env env, napi_callback_info info) {
    size_t count = 2;
    napi_value arguments[2] = {};
    void* data = nullptr;
    napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
    environment = static_cast<Environment*>(data);
    transcoder = FindTranscoder(env, arguments[0], *environment);
    argument = arguments[1];
  }

  Environment* environment;
  Transcoder* transcoder;  // null with an exception thrown
  napi_value argument;
};

napi_value Receive(napi_env env, napi_callback_info info) {
  const FrameCall call(env, info);
  if (!call.transcoder) return nullptr;
  const ptrdiff_t samples = call.transcoder->Receive(Message(env, call.argument), &call.environment->workspace);
  napi_value result = nullptr;
  napi_create_int32(env, static_cast<int32_t>(samples), &result);
  return result;
}

napi_value Transmit(napi_env env, napi_callback_info info) {
  const FrameCall call(env, info);
  if (!call.transcoder) return nullptr;
  const Span<int16_t> pcm = Elements<int16_t>(env, call.argument);
  const size_t length = call.transcoder->Transmit(pcm.data, pcm.length, &call.environment->workspace);
  napi_value result = nullptr;
  napi_create_uint32(env, static_cast<uint32_t>(length), &result);
  return result;
}

/// `environment` lives as long as a function can be called.
Napi::Function FrameFunction(Napi::Env env, const char* name, napi_callback call, Environment* environment) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, call, environment, &function);
  return {env, function};
}

Napi::Value OpenTranscoder(const Napi::CallbackInfo& info) {
  const auto format = static_cast<Format>(info[0].As<Napi::Number>().Uint32Value());
  const uint32_t handle = CurrentEnvironment(info.Env())->transcoders.Add(std::make_unique<Transcoder>(format));
  if (handle == TranscoderTable::kNone) {
    napi_throw_range_error(info.Env(), nullptr, "No further transcoder fits in: too many are open");
    return {};
  }
  return Number(info.Env(), handle);
}

/// Ignores a handle that was closed.
void CloseTranscoder(const Napi::CallbackInfo& info) {
  CurrentEnvironment(info.Env())->transcoders.Remove(info[0].As<Napi::Number>().Uint32Value());
}

Napi::Value Bind(const Napi::CallbackInfo& info) {
  Transcoder* transcoder = FindTranscoder(info);
  if (!transcoder) return {};
  return Napi::Boolean::New(info.Env(), transcoder->Bind(info[1].As<Napi::String>().Utf8Value()));
}

Napi::Value ReceivePayload(const Napi::CallbackInfo& info) {
  Transcoder* transcoder = FindTranscoder(info);
  if (!transcoder) return {};
  const Span<uint8_t> text = Bytes(info, 1);
  const std::string_view base64(reinterpret_cast<const char*>(text.data), text.length);
  Workspace* workspace = &CurrentEnvironment(info.Env())->workspace;
  const ptrdiff_t samples = transcoder->ReceivePayload(base64, info[2].As<Napi::Number>(), workspace);
  return Napi::Number::New(info.Env(), static_cast<double>(samples));
}

void Conceal(const Napi::CallbackInfo& info) {
  Transcoder* transcoder = FindTranscoder(info);
  if (!transcoder) return;
  transcoder->Conceal(info[1].As<Napi::Number>().Uint32Value(), &CurrentEnvironment(info.Env())->workspace);
}

void Decode(const Napi::CallbackInfo& info) {
  Transcoder* transcoder = FindTranscoder(info);
  if (!transcoder) return;
  const Span<uint8_t> payload = Bytes(info, 1);
  const size_t count = payload.length / BytesPerSample(transcoder->format());
  transcoder->Decode(CurrentKernels(info.Env()), payload.data, count, Pcm(info, 2).data);
}

void Encode(const Napi::CallbackInfo& info) {
  Transcoder* transcoder = FindTranscoder(info);
  if (!transcoder) return;
  const Span<int16_t> pcm = Pcm(info, 1);
  transcoder->Encode(CurrentKernels(info.Env()), pcm.data, pcm.length / kRatio, Bytes(info, 2).data);
}

// ---- class Upsampler, class Downsampler ----

/// `kTaken` is how many samples of the input make one at 8 kHz.
template <class Resampler, size_t kTaken>
class ResamplerObject : public Napi::ObjectWrap<ResamplerObject<Resampler, kTaken>> {
  using Wrap = Napi::ObjectWrap<ResamplerObject>;

 public:
  static Napi::Function Define(Napi::Env env, const char* name) {
    return Wrap::DefineClass(env, name, {Wrap::template InstanceMethod<&ResamplerObject::Process>("process")});
  }

  explicit ResamplerObject(const Napi::CallbackInfo& info) : Wrap(info) {}

 private:
  void Process(const Napi::CallbackInfo& info) {
    const Span<int16_t> in = Pcm(info, 0);
    resampler_.Process(CurrentKernels(info.Env()), in.data, in.length / kTaken, Pcm(info, 1).data);
  }

  Resampler resampler_;
};

// ---- class DtmfGenerator ----

class DtmfGeneratorObject : public Napi::ObjectWrap<DtmfGeneratorObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "DtmfGenerator",
        {InstanceMethod<&DtmfGeneratorObject::Push>("push"), InstanceMethod<&DtmfGeneratorObject::Read>("read"),
         InstanceMethod<&DtmfGeneratorObject::Clear>("clear"), InstanceMethod<&DtmfGeneratorObject::Left>("left"),
         InstanceMethod<&DtmfGeneratorObject::Waiting>("waiting")});
  }

  explicit DtmfGeneratorObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

 private:
  Napi::Value Push(const Napi::CallbackInfo& info) {
    const DtmfTiming timing = {info[1].As<Napi::Number>().Uint32Value(), info[2].As<Napi::Number>().Uint32Value()};
    return Napi::Boolean::New(info.Env(), generator_.Push(info[0].As<Napi::String>().Utf8Value(), timing));
  }

  void Read(const Napi::CallbackInfo& info) {
    const Span<int16_t> out = Pcm(info, 0);
    generator_.Read(out.data, out.length);
  }

  void Clear(const Napi::CallbackInfo&) { generator_ = {}; }
  Napi::Value Left(const Napi::CallbackInfo& info) { return Number(info.Env(), generator_.left()); }
  Napi::Value Waiting(const Napi::CallbackInfo& info) { return Number(info.Env(), generator_.waiting()); }

  DtmfGenerator generator_;
};

// ---- Functions ----

template <Format kFormat>
void ExpandG711(const Napi::CallbackInfo& info) {
  const Span<uint8_t> bytes = Bytes(info, 0);
  DecodePayload(CurrentKernels(info.Env()), kFormat, bytes.data, bytes.length, Pcm(info, 1).data);
}

template <Format kFormat>
void CompressG711(const Napi::CallbackInfo& info) {
  const Span<int16_t> pcm = Pcm(info, 0);
  EncodePayload(CurrentKernels(info.Env()), kFormat, pcm.data, pcm.length, Bytes(info, 1).data);
}

Napi::Value DecodeBase64Text(const Napi::CallbackInfo& info) {
  const Span<uint8_t> text = Bytes(info, 0);
  const ptrdiff_t bytes = DecodeBase64(CurrentKernels(info.Env()), text.data, text.length, Bytes(info, 1).data);
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

void EncodeBase64Bytes(const Napi::CallbackInfo& info) {
  const Span<uint8_t> bytes = Bytes(info, 0);
  auto* text = reinterpret_cast<char*>(Bytes(info, 1).data);
  EncodeBase64(CurrentKernels(info.Env()), bytes.data, bytes.length, text);
}

void MixMembersMinus(const Napi::CallbackInfo& info) {
  const Span<int16_t> inputs = Pcm(info, 0);
  const Span<uint8_t> active = Bytes(info, 1);
  const size_t samples = inputs.length / active.length;
  MixMinus(CurrentKernels(info.Env()), inputs.data, active.data, active.length, samples, Pcm(info, 2).data);
}

void MixMembers(const Napi::CallbackInfo& info) {
  const Span<uint8_t> active = Bytes(info, 1);
  const Span<int16_t> output = Pcm(info, 2);
  Mix(CurrentKernels(info.Env()), Pcm(info, 0).data, active.data, active.length, output.length, output.data);
}

Napi::Value ShortenPiece(const Napi::CallbackInfo& info) {
  const Span<int16_t> pcm = Pcm(info, 0);
  return Number(info.Env(), Shorten(pcm.data, pcm.length, info[1].As<Napi::Number>().Uint32Value()));
}

/// The names of the kernels this processor can run, best first.
Napi::Array UsableKernelNames(Napi::Env env) {
  Napi::Array names = Napi::Array::New(env);
  for (uint32_t i = 0; const Kernels* kernels = UsableKernels(i); ++i) names[i] = Napi::String::New(env, kernels->name);
  return names;
}

/// Takes one of the usable names; ignores others.
void UseKernels(const Napi::CallbackInfo& info) {
  if (const Kernels* kernels = FindKernels(info[0].As<Napi::String>().Utf8Value()))
    CurrentEnvironment(info.Env())->workspace.kernels = kernels;
}

Napi::Value LiveTranscoders(const Napi::CallbackInfo& info) {
  return Number(info.Env(), CurrentEnvironment(info.Env())->transcoders.size());
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
  exports["openTranscoder"] = Napi::Function::New<OpenTranscoder>(env, "openTranscoder");
  exports["closeTranscoder"] = Napi::Function::New<CloseTranscoder>(env, "closeTranscoder");
  exports["bind"] = Napi::Function::New<Bind>(env, "bind");
  exports["receive"] = FrameFunction(env, "receive", Receive, environment.get());
  exports["receivePayload"] = Napi::Function::New<ReceivePayload>(env, "receivePayload");
  exports["conceal"] = Napi::Function::New<Conceal>(env, "conceal");
  exports["transmit"] = FrameFunction(env, "transmit", Transmit, environment.get());
  exports["decode"] = Napi::Function::New<Decode>(env, "decode");
  exports["encode"] = Napi::Function::New<Encode>(env, "encode");
  exports["Upsampler"] = ResamplerObject<Upsampler, 1>::Define(env, "Upsampler");
  exports["Downsampler"] = ResamplerObject<Downsampler, kRatio>::Define(env, "Downsampler");
  exports["DtmfGenerator"] = DtmfGeneratorObject::Define(env);
  exports["decodeMulaw"] = Napi::Function::New<ExpandG711<Format::kMulaw>>(env, "decodeMulaw");
  exports["encodeMulaw"] = Napi::Function::New<CompressG711<Format::kMulaw>>(env, "encodeMulaw");
  exports["decodeAlaw"] = Napi::Function::New<ExpandG711<Format::kAlaw>>(env, "decodeAlaw");
  exports["encodeAlaw"] = Napi::Function::New<CompressG711<Format::kAlaw>>(env, "encodeAlaw");
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
