// Nanoseconds of each stage of a 20 ms frame, for every kernel set of this processor, against native speexdsp; all take
// turns within one run. Prints one line of JSON.

#include <speex/speex_resampler.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../../native/base64.h"
#include "../../native/kernels/kernels.h"
#include "../../native/media_message.h"
#include "../../native/transcoder.h"

namespace {

using namespace trunkline;

constexpr int kFrames = 40;  // of one stage in a row
constexpr int kRounds = 150;

struct Entry {
  std::string stage;
  std::string name;
  std::function<void(int)> run;
  std::vector<double> times;
};

double Now() {
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

uint32_t state = 1;
uint32_t Random() {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

constexpr char kSid[] = "MZa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";

}  // namespace

int main() {
  static int16_t narrow[kFrames * 160], wide[kFrames * 960], out[960], linear[160];
  static uint8_t mulaw[160], payload[216];
  static char text[512];
  for (auto& sample : narrow) sample = static_cast<int16_t>(Random() >> 18);
  for (auto& sample : wide) sample = static_cast<int16_t>(Random() >> 18);
  for (auto& byte : mulaw) byte = static_cast<uint8_t>(Random());
  char base64[216];
  EncodeBase64(kScalarKernels, mulaw, 160, base64);
  const std::string message = std::string(R"({"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2",)") +
                              R"("timestamp":"20","payload":")" + std::string(base64, 216) + R"("},"streamSid":")" + kSid +
                              R"("})";

  std::vector<Entry> entries;
  const auto add = [&](const char* stage, std::string name, std::function<void(int)> run) {
    entries.push_back({stage, std::move(name), std::move(run), {}});
  };
  for (int quality : {3, 5, 7, 10}) {
    int error;
    auto* up = speex_resampler_init(1, 8000, 48000, quality, &error);
    auto* down = speex_resampler_init(1, 48000, 8000, quality, &error);
    add("x6", "speexdsp q" + std::to_string(quality), [=](int k) {
      unsigned in = 160, room = 960;
      speex_resampler_process_int(up, 0, narrow + 160 * k, &in, out, &room);
    });
    add("/6", "speexdsp q" + std::to_string(quality), [=](int k) {
      unsigned in = 960, room = 160;
      speex_resampler_process_int(down, 0, wide + 960 * k, &in, out, &room);
    });
  }
  std::vector<std::unique_ptr<UpHistory>> ups;
  std::vector<std::unique_ptr<DownHistory>> downs;
  for (size_t i = 0; const Kernels* kernels = UsableKernels(i); ++i) {
    UpHistory* up = ups.emplace_back(std::make_unique<UpHistory>()).get();
    DownHistory* down = downs.emplace_back(std::make_unique<DownHistory>()).get();
    add("x6", kernels->name, [=](int k) { kernels->upsample(narrow + 160 * k, 160, up, out); });
    add("/6", kernels->name, [=](int k) { kernels->downsample(wide + 960 * k, 160, down, out); });
    add("mu-law decode", kernels->name, [=](int) { kernels->decodeMulaw(mulaw, 160, linear); });
    add("mu-law encode", kernels->name, [=](int k) { kernels->encodeMulaw(narrow + 160 * k, 160, payload); });
    add("base64 decode", kernels->name, [=](int) {
      DecodeBase64(*kernels, reinterpret_cast<const uint8_t*>(base64), 216, payload);
    });
    add("base64 encode", kernels->name, [=](int) { EncodeBase64(*kernels, mulaw, 160, text); });
    add("text around it", kernels->name, [=](int) { WriteMedia(*kernels, kSid, mulaw, 0, text); });
  }
  add("message scan", "every kernel set", [=](int) {
    MediaMessage media;
    if (!ScanMedia(message, kSid, &media)) std::abort();
  });

  for (int round = 0; round < kRounds; ++round) {
    for (Entry& entry : entries) {
      const double begun = Now();
      for (int k = 0; k < kFrames; ++k) entry.run(k);
      entry.times.push_back((Now() - begun) / kFrames);
    }
  }
  std::printf("{\"transcoderBytes\":%zu,\"stages\":[", sizeof(Transcoder));
  bool first = true;
  for (Entry& entry : entries) {
    std::sort(entry.times.begin(), entry.times.end());
    std::printf("%s{\"stage\":\"%s\",\"name\":\"%s\",\"ns\":%.1f}", first ? "" : ",", entry.stage.c_str(),
                entry.name.c_str(), entry.times[entry.times.size() / 2]);
    first = false;
  }
  std::printf("]}\n");
}
