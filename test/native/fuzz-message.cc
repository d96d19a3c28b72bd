// libFuzzer: any bytes as a message. What the scanner takes must be what Twilio's literal form says, found here by
// another way; nothing may be read or written out of bounds.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "../../native/transcoder.h"

namespace {

using trunkline::MediaMessage;

constexpr char kSid[] = "MZ18ad3ab5a668481ce02b83e7395059f0";

/// Takes the message apart and writes it anew from the fields: the same text, or it was not of that form.
bool Rewrites(const std::string& text, const MediaMessage& media, const char* before, const char* between) {
  // The chunk is not kept: it is what stands between its key and the timestamp's.
  const std::string chunkKey = R"("chunk":")";
  const size_t chunkAt = text.find(chunkKey);
  if (chunkAt == std::string::npos) return false;
  const size_t from = chunkAt + chunkKey.size();
  const std::string chunk = text.substr(from, text.find('"', from) - from);
  // Digits keep their leading zeros, so numbers are compared and not written.
  const auto digits = [&](const std::string& key) {
    const size_t at = text.find(key) + key.size();
    return text.substr(at, text.find('"', at) - at);
  };
  const std::string sequence = digits(R"("sequenceNumber":")"), timestamp = digits(R"("timestamp":")");
  if (std::stoll(sequence) != media.sequenceNumber || std::stoll(timestamp) != media.timestamp) return false;
  const std::string wanted = R"({"event":"media","sequenceNumber":")" + sequence + before +
                             R"("media":{"track":"inbound","chunk":")" + chunk + R"(","timestamp":")" + timestamp +
                             R"(","payload":")" + std::string(media.payload) + between;
  return wanted == text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  MediaMessage media;
  if (trunkline::ScanMedia(text, kSid, &media)) {
    const std::string sid = R"("streamSid":")" + std::string(kSid) + '"';
    const bool sidFirst = Rewrites(text, media, ("\"," + sid + ",").c_str(), "\"}}");
    const bool sidLast = Rewrites(text, media, "\",", ("\"}," + sid + "}").c_str());
    if (!sidFirst && !sidLast) std::abort();
  }
  static auto workspace = std::make_unique<trunkline::Workspace>();
  for (size_t i = 0; const trunkline::Kernels* kernels = trunkline::UsableKernels(i); ++i) {
    workspace->kernels = kernels;
    trunkline::Transcoder transcoder;
    if (!transcoder.Bind(kSid)) std::abort();
    const ptrdiff_t samples = transcoder.Receive(text, workspace.get());
    if (samples > static_cast<ptrdiff_t>(sizeof(workspace->slab.samples) / 2) || samples < -1) std::abort();
  }
  return 0;
}
