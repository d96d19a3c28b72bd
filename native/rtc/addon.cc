// DTLS, SRTP and Opus as a Node addon, and the only file of them that knows Node-API. src/rtc/native.ts documents each
// export and throws the errors: a call here returns a number below kClosed for what it refuses. It believes no
// argument.
//
// All state belongs to the environment (main thread or worker) that loaded the addon: there are no globals.

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "../handle_table.h"
#include "certificate.h"
#include "dtls.h"
#include "opus.h"
#include "srtp.h"

namespace trunkline::rtc {
namespace {

/// There is no such object any more.
constexpr int kClosed = -100;
/// An argument of a wrong type, or without the room that is needed.
constexpr int kRefused = -101;
/// The library could not, or is missing.
constexpr int kFailed = -102;

struct Environment {
  DatagramMethod datagrams;  // the sessions use it
  OpusLibrary opus;          // encoders and decoders use it
  HandleTable<Certificate> certificates;
  HandleTable<Dtls> dtls;
  HandleTable<Srtp> srtp;
  HandleTable<OpusEncoder> encoders;
  HandleTable<OpusDecoder> decoders;
};

/// The elements of a typed array: valid until JavaScript runs again.
template <typename T>
struct Span {
  T* data = nullptr;
  size_t length = 0;
  bool isValid = false;
};

/// A call with its arguments. An argument that is missing is none of any type.
struct Call {
  Call(napi_env env, napi_callback_info info) : env(env) {
    size_t count = 4;
    void* data = nullptr;
    napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
    environment = static_cast<Environment*>(data);
  }

  /// The largest number for what is none of 32 bits. A fraction is cut off.
  uint32_t Number(size_t at) const {
    double number = -1;
    napi_get_value_double(env, arguments[at], &number);
    return number >= 0 && number < UINT32_MAX ? static_cast<uint32_t>(number) : UINT32_MAX;
  }

  bool Flag(size_t at) const {
    bool flag = false;
    napi_get_value_bool(env, arguments[at], &flag);
    return flag;
  }

  Span<uint8_t> Bytes(size_t at) const { return Elements<uint8_t>(at, napi_uint8_array); }
  Span<int16_t> Pcm(size_t at) const { return Elements<int16_t>(at, napi_int16_array); }

  template <typename T>
  Span<T> Elements(size_t at, napi_typedarray_type wanted) const {
    Span<T> span;
    void* data = nullptr;
    napi_typedarray_type type = napi_int8_array;
    const napi_status status =
        napi_get_typedarray_info(env, arguments[at], &type, &span.length, &data, nullptr, nullptr);
    span.data = static_cast<T*>(data);
    span.isValid = status == napi_ok && type == wanted;
    return span;
  }

  template <class T>
  T* Find(const HandleTable<T>& table) const {
    return table.Find(Number(0));
  }

  napi_value Result(ptrdiff_t number) const {
    napi_value result = nullptr;
    napi_create_int32(env, static_cast<int32_t>(number), &result);
    return result;
  }

  /// Undefined for null.
  napi_value Text(const char* text) const {
    if (!text) return nullptr;
    napi_value result = nullptr;
    napi_create_string_latin1(env, text, NAPI_AUTO_LENGTH, &result);
    return result;
  }

  napi_value Copy(const uint8_t* bytes, size_t length) const {
    napi_value result = nullptr;
    if (bytes) napi_create_buffer_copy(env, length, bytes, nullptr, &result);
    return result;
  }

  /// Takes an object in and returns its handle.
  template <class T>
  napi_value Add(HandleTable<T>* table, std::unique_ptr<T> object) const {
    if (!object) return Result(kFailed);
    const uint32_t handle = table->Add(std::move(object));
    return handle == HandleTable<T>::kNone ? Result(kFailed) : Result(static_cast<ptrdiff_t>(handle));
  }

  napi_env env;
  napi_value arguments[4] = {};
  Environment* environment = nullptr;
};

template <auto kTable>
napi_value Free(const Call& call) {
  (call.environment->*kTable).Remove(call.Number(0));
  return nullptr;
}

// ---- Certificates ----

napi_value MakeCertificate(const Call& call) { return call.Add(&call.environment->certificates, Certificate::Make()); }

napi_value CertificateFingerprint(const Call& call) {
  const Certificate* certificate = call.Find(call.environment->certificates);
  return certificate ? call.Text(certificate->fingerprint().data()) : nullptr;
}

// ---- DTLS ----

napi_value OpenDtls(const Call& call) {
  const Certificate* certificate = call.Find(call.environment->certificates);
  if (!certificate) return call.Result(kClosed);
  const uint32_t mtu = call.Number(2);
  if (mtu < 256 || mtu > Dtls::kMaxDatagram) return call.Result(kRefused);
  return call.Add(&call.environment->dtls, Dtls::Open(*certificate, call.environment->datagrams, call.Flag(1), mtu));
}

/// Each call that may change the state returns it.
napi_value StateOf(const Call& call, const Dtls& session) { return call.Result(static_cast<int>(session.state())); }

napi_value StartDtls(const Call& call) {
  Dtls* session = call.Find(call.environment->dtls);
  if (!session) return call.Result(kClosed);
  session->Start();
  return StateOf(call, *session);
}

napi_value FeedDtls(const Call& call) {
  Dtls* session = call.Find(call.environment->dtls);
  if (!session) return call.Result(kClosed);
  const Span<uint8_t> datagram = call.Bytes(1);
  if (!datagram.isValid) return call.Result(kRefused);
  session->Feed(datagram.data, datagram.length);
  return StateOf(call, *session);
}

napi_value TakeDtls(const Call& call) {
  Dtls* session = call.Find(call.environment->dtls);
  if (!session) return nullptr;
  size_t length = 0;
  const uint8_t* datagram = session->Take(&length);
  return call.Copy(datagram, length);
}

napi_value DtlsTimeoutMs(const Call& call) {
  Dtls* session = call.Find(call.environment->dtls);
  return call.Result(session ? session->TimeoutMs() : -1);
}

napi_value DtlsTimeout(const Call& call) {
  Dtls* session = call.Find(call.environment->dtls);
  if (!session) return call.Result(kClosed);
  session->Timeout();
  return StateOf(call, *session);
}

napi_value DtlsFailure(const Call& call) {
  const Dtls* session = call.Find(call.environment->dtls);
  return session ? call.Text(session->failure()) : nullptr;
}

napi_value PeerFingerprint(const Call& call) {
  const Dtls* session = call.Find(call.environment->dtls);
  char algorithm[16] = {};
  if (!session ||
      napi_get_value_string_utf8(call.env, call.arguments[1], algorithm, sizeof algorithm, nullptr) != napi_ok)
    return nullptr;
  Fingerprint fingerprint;
  return session->PeerFingerprint(algorithm, &fingerprint) ? call.Text(fingerprint.data()) : nullptr;
}

napi_value TakeSrtp(const Call& call) {
  Dtls* session = call.Find(call.environment->dtls);
  return session ? call.Add(&call.environment->srtp, session->TakeSrtp()) : call.Result(kClosed);
}

/// Frees the session, and returns the datagram that tells the peer, if it is to be told.
napi_value CloseDtls(const Call& call) {
  Dtls* session = call.Find(call.environment->dtls);
  if (!session) return nullptr;
  session->Close();
  size_t length = 0;
  const uint8_t* datagram = session->Take(&length);
  napi_value last = call.Copy(datagram, length);
  call.environment->dtls.Remove(call.Number(0));
  return last;
}

// ---- SRTP ----

napi_value OpenSrtp(const Call& call) {
  const auto profile = static_cast<SrtpProfile>(call.Number(0));
  const Span<uint8_t> keys = call.Bytes(1);
  switch (profile) {
    case SrtpProfile::kAes128CmSha1:
    case SrtpProfile::kAeadAes128Gcm:
    case SrtpProfile::kAeadAes256Gcm: break;
    default: return call.Result(kRefused);
  }
  const SrtpSizes sizes = SizesOf(profile);
  if (!keys.isValid || keys.length != 2 * (sizes.key + sizes.salt)) return call.Result(kRefused);
  return call.Add(&call.environment->srtp, Srtp::Open(profile, keys.data, call.Flag(2)));
}

napi_value SrtpProfileOf(const Call& call) {
  const Srtp* session = call.Find(call.environment->srtp);
  return call.Result(session ? static_cast<int>(session->profile()) : kClosed);
}

using Crypt = ptrdiff_t (Srtp::*)(uint8_t*, size_t);

/// `kRoom`: what a packet may grow by.
template <Crypt kCrypt, size_t (Srtp::*kRoom)() const>
napi_value CryptPacket(const Call& call) {
  Srtp* session = call.Find(call.environment->srtp);
  if (!session) return call.Result(kClosed);
  const Span<uint8_t> packet = call.Bytes(1);
  const size_t length = call.Number(2);
  size_t room = 0;
  if constexpr (kRoom != nullptr) room = (session->*kRoom)();
  if (!packet.isValid || length > packet.length || room > packet.length - length) return call.Result(kRefused);
  return call.Result((session->*kCrypt)(packet.data, length));
}

// ---- Opus ----

/// Undefined if it is not installed.
napi_value OpusVersion(const Call& call) {
  OpusLibrary* library = &call.environment->opus;
  return library->Open() ? call.Text(library->getVersion()) : nullptr;
}

/// One of Opus's that we use.
bool IsRate(uint32_t rate) { return rate == 8'000 || rate == 16'000 || rate == 24'000 || rate == 48'000; }

napi_value OpenEncoder(const Call& call) {
  OpusLibrary* library = &call.environment->opus;
  const uint32_t rate = call.Number(0);
  const uint32_t application = call.Number(1);
  if (!IsRate(rate) || application > 2) return call.Result(kRefused);
  if (!library->Open()) return call.Result(kFailed);
  return call.Add(&call.environment->encoders, OpusEncoder::Open(*library, static_cast<int32_t>(rate),
                                                                 static_cast<OpusEncoder::Application>(application)));
}

napi_value SetEncoder(const Call& call) {
  OpusEncoder* encoder = call.Find(call.environment->encoders);
  if (!encoder) return call.Result(kClosed);
  const uint32_t setting = call.Number(1);
  const uint32_t value = call.Number(2);
  if (setting >= OpusEncoder::kSettings || value > INT32_MAX) return call.Result(kRefused);
  return call.Result(encoder->Set(static_cast<OpusEncoder::Setting>(setting), static_cast<int32_t>(value)));
}

napi_value Encode(const Call& call) {
  OpusEncoder* encoder = call.Find(call.environment->encoders);
  if (!encoder) return call.Result(kClosed);
  const Span<int16_t> pcm = call.Pcm(1);
  const Span<uint8_t> out = call.Bytes(2);
  if (!pcm.isValid || !out.isValid) return call.Result(kRefused);
  return call.Result(encoder->Encode(pcm.data, pcm.length, out.data, out.length));
}

napi_value OpenDecoder(const Call& call) {
  OpusLibrary* library = &call.environment->opus;
  const uint32_t rate = call.Number(0);
  if (!IsRate(rate)) return call.Result(kRefused);
  if (!library->Open()) return call.Result(kFailed);
  return call.Add(&call.environment->decoders, OpusDecoder::Open(*library, static_cast<int32_t>(rate)));
}

napi_value Decode(const Call& call) {
  OpusDecoder* decoder = call.Find(call.environment->decoders);
  if (!decoder) return call.Result(kClosed);
  const Span<uint8_t> packet = call.Bytes(1);
  const Span<int16_t> out = call.Pcm(2);
  if (!packet.isValid || !out.isValid) return call.Result(kRefused);
  return call.Result(decoder->Decode(packet.data, packet.length, out.data, out.length));
}

napi_value DecodeFec(const Call& call) {
  OpusDecoder* decoder = call.Find(call.environment->decoders);
  if (!decoder) return call.Result(kClosed);
  const Span<uint8_t> packet = call.Bytes(1);
  const Span<int16_t> out = call.Pcm(2);
  const size_t samples = call.Number(3);
  if (!packet.isValid || !out.isValid || samples > out.length) return call.Result(kRefused);
  return call.Result(decoder->DecodeFec(packet.data, packet.length, out.data, samples));
}

napi_value Conceal(const Call& call) {
  OpusDecoder* decoder = call.Find(call.environment->decoders);
  if (!decoder) return call.Result(kClosed);
  const Span<int16_t> out = call.Pcm(1);
  const size_t samples = call.Number(2);
  if (!out.isValid || samples > out.length) return call.Result(kRefused);
  return call.Result(decoder->Conceal(out.data, samples));
}

napi_value SamplesOf(const Call& call) {
  OpusDecoder* decoder = call.Find(call.environment->decoders);
  if (!decoder) return call.Result(kClosed);
  const Span<uint8_t> packet = call.Bytes(1);
  if (!packet.isValid) return call.Result(kRefused);
  return call.Result(decoder->SamplesOf(packet.data, packet.length));
}

// ---- The module ----

/// Certificates, DTLS and SRTP sessions, encoders and decoders that were not freed.
napi_value LiveObjects(const Call& call) {
  const Environment& environment = *call.environment;
  return call.Result(static_cast<ptrdiff_t>(environment.certificates.size() + environment.dtls.size() +
                                            environment.srtp.size() + environment.encoders.size() +
                                            environment.decoders.size()));
}

template <napi_value (*kFunction)(const Call&)>
napi_value Invoke(napi_env env, napi_callback_info info) {
  return kFunction(Call(env, info));
}

struct Export {
  const char* name;
  napi_callback call;
};

constexpr Export kExports[] = {
    {"makeCertificate", Invoke<MakeCertificate>},
    {"certificateFingerprint", Invoke<CertificateFingerprint>},
    {"freeCertificate", Invoke<Free<&Environment::certificates>>},
    {"openDtls", Invoke<OpenDtls>},
    {"startDtls", Invoke<StartDtls>},
    {"feedDtls", Invoke<FeedDtls>},
    {"takeDtls", Invoke<TakeDtls>},
    {"dtlsTimeoutMs", Invoke<DtlsTimeoutMs>},
    {"dtlsTimeout", Invoke<DtlsTimeout>},
    {"dtlsFailure", Invoke<DtlsFailure>},
    {"peerFingerprint", Invoke<PeerFingerprint>},
    {"takeSrtp", Invoke<TakeSrtp>},
    {"closeDtls", Invoke<CloseDtls>},
    {"openSrtp", Invoke<OpenSrtp>},
    {"srtpProfile", Invoke<SrtpProfileOf>},
    {"protectRtp", Invoke<CryptPacket<&Srtp::ProtectRtp, &Srtp::rtpOverhead>>},
    {"unprotectRtp", Invoke<CryptPacket<&Srtp::UnprotectRtp, nullptr>>},
    {"protectRtcp", Invoke<CryptPacket<&Srtp::ProtectRtcp, &Srtp::rtcpOverhead>>},
    {"unprotectRtcp", Invoke<CryptPacket<&Srtp::UnprotectRtcp, nullptr>>},
    {"freeSrtp", Invoke<Free<&Environment::srtp>>},
    {"opusVersion", Invoke<OpusVersion>},
    {"openEncoder", Invoke<OpenEncoder>},
    {"setEncoder", Invoke<SetEncoder>},
    {"encode", Invoke<Encode>},
    {"freeEncoder", Invoke<Free<&Environment::encoders>>},
    {"openDecoder", Invoke<OpenDecoder>},
    {"decode", Invoke<Decode>},
    {"decodeFec", Invoke<DecodeFec>},
    {"conceal", Invoke<Conceal>},
    {"samplesOf", Invoke<SamplesOf>},
    {"freeDecoder", Invoke<Free<&Environment::decoders>>},
    {"liveObjects", Invoke<LiveObjects>},
};

}  // namespace

/// `exports` live as long as the environment, and so does what their functions use.
napi_value Initialize(napi_env env, napi_value exports) {
  auto* environment = new Environment();
  napi_set_instance_data(
      env, environment, [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); }, nullptr);
  for (const auto& [name, call] : kExports) {
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, call, environment, &function);
    napi_set_named_property(env, exports, name, function);
  }
  return exports;
}

}  // namespace trunkline::rtc

NAPI_MODULE_INIT() { return trunkline::rtc::Initialize(env, exports); }
