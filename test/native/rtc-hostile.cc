// DTLS, SRTP and Opus without Node, against what a peer or a stranger may send. Run with sanitizers: each packet lies
// in memory of exactly its size.
//
//   rtc-hostile <seed> <runs>

#include <dlfcn.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "../../native/handle_table.h"
#include "certificate.h"
#include "dtls.h"
#include "opus.h"
#include "srtp.h"

// What Node has of libuv.
int uv_dlopen(const char* name, uv_lib_t* library) {
  library->handle = dlopen(name, RTLD_LAZY);
  return library->handle ? 0 : -1;
}
int uv_dlsym(uv_lib_t* library, const char* name, void** symbol) {
  *symbol = dlsym(library->handle, name);
  return *symbol ? 0 : -1;
}
void uv_dlclose(uv_lib_t* library) {
  if (library->handle) dlclose(library->handle);
}

namespace {

using namespace trunkline::rtc;
using Bytes = std::vector<uint8_t>;

std::mt19937 generator;

size_t Random(size_t below) { return below == 0 ? 0 : generator() % below; }

Bytes Noise(size_t length) {
  Bytes bytes(length);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(generator());
  return bytes;
}

void Require(bool is, const char* what) {
  if (is) return;
  std::fprintf(stderr, "Property failed: %s\n", what);
  std::exit(1);
}

/// As it was, or changed, cut off or made longer; in memory of its size.
Bytes Spoilt(Bytes bytes) {
  for (size_t i = Random(4); i > 0 && !bytes.empty(); --i)
    bytes[Random(bytes.size())] = static_cast<uint8_t>(generator());
  if (Random(4) == 0) bytes.resize(Random(bytes.size() + 1));
  if (Random(8) == 0) bytes.resize(bytes.size() + Random(5000));
  return {bytes.begin(), bytes.end()};
}

// ---- DTLS ----

std::vector<Bytes> Taken(Dtls* session) {
  std::vector<Bytes> datagrams;
  size_t length = 0;
  while (const uint8_t* datagram = session->Take(&length)) datagrams.emplace_back(datagram, datagram + length);
  return datagrams;
}

void Feed(Dtls* session, const Bytes& datagram) {
  session->Feed(datagram.data(), datagram.size());
  Require(ERR_peek_error() == 0, "no error is left for Node");
}

/// A handshake, in which some flights are spoilt. `spoiltIn`: one datagram in so many; 0: none.
void Handshake(const Certificate& certificate, const DatagramMethod& method, size_t spoiltIn) {
  auto client = Dtls::Open(certificate, method, true, 256 + Random(1000));
  auto server = Dtls::Open(certificate, method, false, 256 + Random(1000));
  client->Start();
  for (int round = 0; round < 20; ++round) {
    for (const auto& [from, to] : {std::pair{client.get(), server.get()}, std::pair{server.get(), client.get()}}) {
      for (const Bytes& datagram : Taken(from)) {
        const bool isSpoilt = spoiltIn > 0 && Random(spoiltIn) == 0;
        Feed(to, isSpoilt ? Spoilt(datagram) : datagram);
        if (isSpoilt && Random(2) == 0) Feed(to, Noise(Random(300)));
      }
    }
    client->Timeout();
    server->TimeoutMs();
  }
  Fingerprint fingerprint;
  if (spoiltIn == 0) {
    Require(client->state() == Dtls::State::kConnected && server->state() == Dtls::State::kConnected, "connected");
    Require(client->PeerFingerprint("sha-512", &fingerprint), "a fingerprint");
    auto keys = client->TakeSrtp();
    auto others = server->TakeSrtp();
    Require(keys && others && !client->TakeSrtp(), "keys, once");
    Bytes packet = Noise(40);
    packet[0] = 0x80;
    const Bytes before(packet.begin(), packet.begin() + 20);
    const ptrdiff_t length = keys->ProtectRtp(packet.data(), 20);
    Require(others->UnprotectRtp(packet.data(), static_cast<size_t>(length)) == 20, "the same keys");
    Require(std::memcmp(packet.data(), before.data(), 20) == 0, "the same packet");
  }
  server->PeerFingerprint("sha-1", &fingerprint);
  if (Random(2) == 0) client->Close();
  for (const Bytes& datagram : Taken(client.get())) Feed(server.get(), datagram);
}

// ---- SRTP ----

Bytes Packet(bool isRtcp) {
  Bytes packet = Noise(12 + Random(100));
  packet[0] = static_cast<uint8_t>(0x80 | (packet[0] & 0x3f));
  // Few sources and few sequence numbers, so that they meet.
  for (const size_t at : {4, 5, 6, 8, 9, 10}) packet[at] = 0;
  if (!isRtcp) packet[2] = static_cast<uint8_t>(Random(2) * 255);
  // A length of the extension that may be right.
  const size_t extension = 12 + 4 * (packet[0] & 15);
  if (packet.size() > extension + 3 && Random(2) == 0) packet[extension + 2] = 0;
  return packet;
}

void Crypt(SrtpProfile profile) {
  const Bytes keys = Noise(88);
  auto client = Srtp::Open(profile, keys.data(), true);
  auto server = Srtp::Open(profile, keys.data(), false);
  for (int i = 0; i < 400; ++i) {
    const bool isRtcp = Random(3) == 0;
    const Bytes plain = Random(10) == 0 ? Noise(Random(60)) : Packet(isRtcp);
    Bytes sealed(plain.size() + (isRtcp ? client->rtcpOverhead() : client->rtpOverhead()));
    std::copy(plain.begin(), plain.end(), sealed.begin());
    const ptrdiff_t length =
        isRtcp ? client->ProtectRtcp(sealed.data(), plain.size()) : client->ProtectRtp(sealed.data(), plain.size());
    if (length < 0) continue;
    Require(length == static_cast<ptrdiff_t>(sealed.size()), "all of the room is used");
    Bytes changed = Spoilt(sealed);
    const auto open = [&](Bytes* packet) {
      return isRtcp ? server->UnprotectRtcp(packet->data(), packet->size())
                    : server->UnprotectRtp(packet->data(), packet->size());
    };
    if (changed != sealed) Require(open(&changed) < 0, "what was changed is refused");
    const ptrdiff_t opened = open(&sealed);
    if (opened < 0) {
      Require(opened == kReplayed, "too late, or a source that made room");
      continue;
    }
    Require(opened == static_cast<ptrdiff_t>(plain.size()), "as long as it was");
    Require(std::memcmp(sealed.data(), plain.data(), plain.size()) == 0, "as it was");
  }
}

// ---- Opus ----

void Code(const OpusLibrary& library) {
  constexpr int32_t kRates[] = {8'000, 16'000, 24'000, 48'000};
  const int32_t rate = kRates[Random(4)];
  auto encoder = OpusEncoder::Open(library, rate, static_cast<OpusEncoder::Application>(Random(3)));
  auto decoder = OpusDecoder::Open(library, kRates[Random(4)]);
  for (int i = 0; i < 30; ++i) {
    encoder->Set(static_cast<OpusEncoder::Setting>(Random(OpusEncoder::kSettings)),
                 static_cast<int32_t>(Random(50'000)));
    std::vector<int16_t> pcm(static_cast<size_t>(rate) / 400 * (1 + Random(16)));
    for (int16_t& sample : pcm) sample = static_cast<int16_t>(generator());
    Bytes packet(1 + Random(1275));
    const int length = encoder->Encode(pcm.data(), pcm.size(), packet.data(), packet.size());
    packet.resize(length > 0 ? static_cast<size_t>(length) : 0);
    const Bytes changed = Spoilt(packet);
    std::vector<int16_t> out(Random(6000));
    const int samples = decoder->Decode(changed.data(), changed.size(), out.data(), out.size());
    Require(samples <= static_cast<int>(out.size()), "no more than there is room for");
    if (samples >= 0) Require(samples == decoder->SamplesOf(changed.data(), changed.size()), "as many as it says");
    decoder->DecodeFec(changed.data(), changed.size(), out.data(), out.size());
    decoder->Conceal(out.data(), out.size());
  }
}

// ---- Handles ----

void Handles() {
  trunkline::HandleTable<int> table;
  std::vector<uint32_t> open;
  std::vector<uint32_t> closed;
  for (int i = 0; i < 500; ++i) {
    if (Random(3) > 0 || open.empty()) {
      open.push_back(table.Add(std::make_unique<int>(i)));
    } else {
      const size_t at = Random(open.size());
      table.Remove(open[at]);
      closed.push_back(open[at]);
      open.erase(open.begin() + static_cast<ptrdiff_t>(at));
    }
    Require(table.size() == open.size(), "as many as are open");
    for (const uint32_t handle : closed) Require(!table.Find(handle), "a handle is of one object");
    for (const uint32_t handle : open) Require(table.Find(handle), "an open one is found");
  }
  Require(!table.Find(trunkline::HandleTable<int>::kNone) && !table.Find(1'000'000), "others are of none");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  generator.seed(static_cast<unsigned>(std::atol(arguments[1])));
  const DatagramMethod method;
  OpusLibrary library;
  const bool hasOpus = library.Open();
  for (long run = std::atol(arguments[2]); run > 0; --run) {
    const auto certificate = Certificate::Make();
    Handshake(*certificate, method, 0);
    for (size_t spoiltIn = 1; spoiltIn < 5; ++spoiltIn) Handshake(*certificate, method, spoiltIn);
    for (const SrtpProfile profile :
         {SrtpProfile::kAes128CmSha1, SrtpProfile::kAeadAes128Gcm, SrtpProfile::kAeadAes256Gcm})
      Crypt(profile);
    if (hasOpus) Code(library);
    Handles();
  }
  std::puts(hasOpus ? "all" : "all but Opus");
  return 0;
}
