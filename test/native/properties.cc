// Every kernel set that this processor can run against the scalar one: the same bytes for every input, and nothing read
// or written beyond the arguments. Under AddressSanitizer each argument is a heap block of exactly its size.
//
//   properties [rounds]     one line for each kernel set; exit code 1 at the first difference
//   properties hash         one hash for each kernel set, the same on every platform

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../../native/base64.h"
#include "../../native/g711.h"
#include "../../native/kernels/kernels.h"
#include "../../native/kernels/plan.h"
#include "../../native/limit.h"
#include "../../native/mixer.h"
#include "../../native/shortener.h"
#include "../../native/transcoder.h"

namespace trunkline {
namespace {

uint32_t state = 0x2545F491;
uint32_t Random() {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}
size_t Below(size_t limit) { return Random() % limit; }

/// A heap block of exactly `count` elements, `offset` elements into an allocation: every alignment, and no slack
/// behind.
template <class T>
class Block {
 public:
  explicit Block(size_t count, size_t offset = 0)
      : memory_(new T[count + offset]), data_(memory_.get() + offset), count_(count) {}
  T* data() { return data_; }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return data_[i]; }

 private:
  std::unique_ptr<T[]> memory_;
  T* data_;
  size_t count_;
};

[[noreturn]] void Fail(const Kernels& kernels, const char* what, size_t length, size_t index) {
  std::printf("%s: %s of length %zu differs at %zu\n", kernels.name, what, length, index);
  std::exit(1);
}

template <class T>
void Same(const Kernels& kernels, const char* what, T* found, T* wanted, size_t count, size_t length) {
  for (size_t i = 0; i < count; ++i)
    if (found[i] != wanted[i]) Fail(kernels, what, length, i);
}

/// The inputs that matter: quiet, loud, worst for the sums, and everything in between.
enum Kind { kNoise, kQuiet, kMinimum, kMaximum, kAlternating, kImpulse, kTapSigns, kSilence, kKinds };

/// `fromEnd` counts samples back from the newest, where the taps begin.
int16_t Sample(Kind kind, size_t i, size_t count, bool up) {
  switch (kind) {
    case kNoise: return static_cast<int16_t>(Random());
    case kQuiet: return static_cast<int16_t>(static_cast<int>(Below(9)) - 4);
    case kMinimum: return INT16_MIN;
    case kMaximum: return INT16_MAX;
    case kAlternating: return i % 2 ? INT16_MAX : INT16_MIN;
    case kImpulse: return i == count / 2 ? INT16_MAX : 0;
    case kTapSigns: {
      // Every product of one output has the same sign: the sums go as far as they can.
      const size_t back = count - 1 - i;
      const int16_t tap = up ? kUpTaps[back % kTapRows][0] : kDownTaps[back / kRatio % kTapRows][back % kRatio];
      return tap < 0 ? INT16_MIN : INT16_MAX;
    }
    default: return 0;
  }
}

template <class T>
void Fill(Block<T>& block, Kind kind, bool up) {
  for (size_t i = 0; i < block.size(); ++i) block[i] = Sample(kind, i, block.size(), up);
}

void CheckResamplers(const Kernels& kernels, int rounds) {
  UpHistory up, upWanted;
  DownHistory down, downWanted;
  for (int round = 0; round < rounds; ++round) {
    const Kind kind = static_cast<Kind>(round % (2 * kKinds) < kKinds ? round % kKinds : kNoise);
    const size_t count = round % 3 == 0 ? kBlock : Below(kBlock + 1);
    Block<int16_t> narrow(count, Below(32)), wide(kRatio * count, Below(32)), wideWanted(kRatio * count);
    Fill(narrow, kind, true);
    kernels.upsample(narrow.data(), static_cast<int>(count), &up, wide.data());
    kScalarKernels.upsample(narrow.data(), static_cast<int>(count), &upWanted, wideWanted.data());
    Same(kernels, "upsample", wide.data(), wideWanted.data(), kRatio * count, count);
    Same(kernels, "up history", up.samples, upWanted.samples, kHistory, count);

    Fill(wide, kind, false);
    Block<int16_t> narrowWanted(count);
    kernels.downsample(wide.data(), static_cast<int>(count), &down, narrow.data());
    kScalarKernels.downsample(wide.data(), static_cast<int>(count), &downWanted, narrowWanted.data());
    Same(kernels, "downsample", narrow.data(), narrowWanted.data(), count, count);
    Same(kernels, "down history", down.pairs[0], downWanted.pairs[0], sizeof(down.pairs) / sizeof(int16_t), count);
  }
}

void CheckG711(const Kernels& kernels) {
  for (size_t offset = 0; offset < 32; ++offset) {
    Block<int16_t> pcm(65536, offset), decoded(65536, offset);
    Block<uint8_t> bytes(65536, offset);
    for (size_t i = 0; i < 65536; ++i) pcm[i] = static_cast<int16_t>(i);
    kernels.encodeMulaw(pcm.data(), pcm.size(), bytes.data());
    for (size_t i = 0; i < 65536; ++i)
      if (bytes[i] != LinearToMulaw(pcm[i] >> 2)) Fail(kernels, "encodeMulaw", 65536, i);
    kernels.decodeMulaw(bytes.data(), bytes.size(), decoded.data());
    for (size_t i = 0; i < 65536; ++i)
      if (decoded[i] != MulawToLinear(bytes[i])) Fail(kernels, "decodeMulaw", 65536, i);
  }
  for (size_t count = 0; count <= 4000; ++count) {
    Block<uint8_t> bytes(count, Below(32)), encoded(count, Below(32));
    Block<int16_t> pcm(count, Below(32));
    for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(Random());
    kernels.decodeMulaw(bytes.data(), count, pcm.data());
    for (size_t i = 0; i < count; ++i)
      if (pcm[i] != MulawToLinear(bytes[i])) Fail(kernels, "decodeMulaw", count, i);
    kernels.encodeMulaw(pcm.data(), count, encoded.data());
    for (size_t i = 0; i < count; ++i)
      if (encoded[i] != LinearToMulaw(pcm[i] >> 2)) Fail(kernels, "encodeMulaw", count, i);
  }
}

void CheckBase64(const Kernels& kernels) {
  for (size_t count = 0; count <= 4000; ++count) {
    Block<uint8_t> bytes(count, Below(32)), back(count, Below(32));
    for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(Random());
    const size_t length = Base64Length(count);
    Block<char> text(length, Below(32)), wanted(length);
    EncodeBase64(kernels, bytes.data(), count, text.data());
    EncodeBase64(kScalarKernels, bytes.data(), count, wanted.data());
    Same(kernels, "encodeBase64", text.data(), wanted.data(), length, count);
    auto* characters = reinterpret_cast<uint8_t*>(text.data());
    // Room for whole groups only where the text has them.
    Block<uint8_t> room(length / 4 * 3, Below(32));
    if (DecodeBase64(kernels, characters, length, room.data()) != static_cast<ptrdiff_t>(count))
      Fail(kernels, "decodeBase64", count, 0);
    Same(kernels, "decodeBase64", room.data(), bytes.data(), count, count);
    if (length == 0) continue;
    // Without its padding, and with breaks in it.
    Block<uint8_t> loose(length + length / 76);
    size_t put = 0;
    for (size_t i = 0; i < length && characters[i] != '='; ++i) {
      if (i % 76 == 75) loose[put++] = '\n';
      loose[put++] = characters[i];
    }
    Block<uint8_t> looseRoom(count);
    if (DecodeLooseBase64(kernels, loose.data(), put, looseRoom.data()) != static_cast<ptrdiff_t>(count))
      Fail(kernels, "decodeLooseBase64", count, 0);
    Same(kernels, "decodeLooseBase64", looseRoom.data(), bytes.data(), count, count);
    const size_t at = Below(length);
    characters[at] = static_cast<uint8_t>(Random());
    Block<uint8_t> other(length / 4 * 3);
    if (DecodeBase64(kernels, characters, length, room.data()) !=
        DecodeBase64(kScalarKernels, characters, length, other.data()))
      Fail(kernels, "decodeBase64 of a bad character", count, at);
  }
  // Every byte at every place of two vectors' length.
  constexpr size_t kGroups = 40;
  for (size_t at = 0; at < 4 * kGroups; ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      Block<uint8_t> text(4 * kGroups), bytes(3 * kGroups);
      std::fill_n(text.data(), text.size(), uint8_t{'A'});
      text[at] = static_cast<uint8_t>(byte);
      const bool valid = (kBase64Values[static_cast<size_t>(byte)] & kBase64InvalidBits) == 0;
      if (kernels.decodeBase64(text.data(), kGroups, bytes.data()) != valid) Fail(kernels, "decodeBase64", at, at);
    }
  }
}

void CheckMixer(const Kernels& kernels) {
  for (size_t members = 1; members <= 40; ++members) {
    for (size_t samples : {size_t{0}, size_t{1}, size_t{7}, size_t{480}, size_t{960}, Below(2000)}) {
      Block<int16_t> inputs(members * samples, Below(32)), outputs(members * samples, Below(32));
      Block<int16_t> wanted(members * samples), mix(samples, Below(32)), mixWanted(samples);
      Block<uint8_t> active(members);
      const Kind kind = static_cast<Kind>(Below(kKinds));
      Fill(inputs, kind, true);
      for (size_t i = 0; i < members; ++i) active[i] = Random() % 4 != 0;
      MixMinus(kernels, inputs.data(), active.data(), members, samples, outputs.data());
      MixMinus(kScalarKernels, inputs.data(), active.data(), members, samples, wanted.data());
      Same(kernels, "mixMinus", outputs.data(), wanted.data(), members * samples, samples);
      Mix(kernels, inputs.data(), active.data(), members, samples, mix.data());
      Mix(kScalarKernels, inputs.data(), active.data(), members, samples, mixWanted.data());
      Same(kernels, "mix", mix.data(), mixWanted.data(), samples, samples);
      MixMinus(kernels, inputs.data(), active.data(), members, samples, inputs.data());
      Same(kernels, "mixMinus in place", inputs.data(), wanted.data(), members * samples, samples);
    }
  }
  // Every sum around the knee and full scale, and ever wider steps up to the largest.
  std::vector<int32_t> sums;
  for (int32_t sum = 0; sum < 200'000; sum += 3) sums.push_back(sum);
  for (int64_t sum = 200'000; sum <= int64_t{65535} * 32768; sum += sum / 1000)
    sums.push_back(static_cast<int32_t>(sum));
  for (size_t i = sums.size(); i > 0; --i) sums.push_back(-sums[i - 1]);
  Block<int16_t> limited(sums.size());
  kernels.limit(sums.data(), sums.size(), limited.data());
  for (size_t i = 0; i < sums.size(); ++i)
    if (limited[i] != Limit(sums[i])) Fail(kernels, "limit", sums.size(), i);
  // As many as may be, all of them at full scale: the 32-bit sums must hold.
  Block<int16_t> inputs(65535), outputs(65535);
  Block<uint8_t> active(65535);
  Fill(inputs, kMinimum, true);
  std::fill_n(active.data(), active.size(), uint8_t{1});
  MixMinus(kernels, inputs.data(), active.data(), 65535, 1, outputs.data());
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i] != -INT16_MAX) Fail(kernels, "mixMinus of 65,535", 1, i);
}

/// Not of kernels, but of memory: whatever comes, it keeps to what it was given.
void CheckShortener() {
  for (int round = 0; round < 2000; ++round) {
    const size_t count = kMinShortened + Below(kMaxShortened - kMinShortened + 1);
    Block<int16_t> pcm(count, Below(32));
    Fill(pcm, static_cast<Kind>(round % kKinds), true);
    const size_t most = Below(800), left = Shorten(pcm.data(), count, most);
    if (left > count || count - left > most || (most >= kMinPeriod && left > count - kMinPeriod)) {
      std::printf("shorten of %zu by %zu left %zu\n", count, most, left);
      std::exit(1);
    }
  }
}

constexpr std::string_view kStreamSid = "MZ18ad3ab5a668481ce02b83e7395059f0";

std::string MediaMessage(const uint8_t* payload, size_t count, uint64_t timestamp) {
  std::string text(Base64Length(count), '\0');
  EncodeBase64(kScalarKernels, payload, count, text.data());
  return R"({"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2","timestamp":")" +
         std::to_string(timestamp) + R"(","payload":")" + text + R"("},"streamSid":")" + std::string(kStreamSid) +
         R"("})";
}

uint64_t Hash(uint64_t hash, const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 0x100000001B3;
  return hash;
}

/// Messages in and out, by payload lengths up to `longest`, with gaps: hashes of what comes out.
uint64_t HashCall(const Kernels& kernels, size_t longest, size_t step) {
  state = 0x9E3779B9;
  auto workspace = std::make_unique<Workspace>();
  workspace->kernels = &kernels;
  Transcoder transcoder;
  if (!transcoder.Bind(kStreamSid)) std::exit(2);
  uint64_t hash = 0xCBF29CE484222325;
  uint64_t timestamp = 0;
  for (size_t count = 0; count <= longest; count += step) {
    Block<uint8_t> payload(count);
    for (size_t i = 0; i < count; ++i) payload[i] = static_cast<uint8_t>(Random());
    const std::string text = MediaMessage(payload.data(), count, timestamp);
    Block<char> message(text.size());
    std::memcpy(message.data(), text.data(), text.size());
    const ptrdiff_t samples = transcoder.Receive({message.data(), message.size()}, workspace.get());
    if (samples < 0) std::exit(2);
    // Holes that are bridged, that fade, and that are too long to be filled.
    constexpr uint64_t kHoles[] = {20, 40, 59, 60, 150, 200, 201};
    timestamp += count / 8 + (count % 7 == 0 ? kHoles[count / 7 % 7] : 0);
    Block<int16_t> pcm(static_cast<size_t>(samples));
    std::memcpy(pcm.data(), workspace->slab.samples, pcm.size() * sizeof(int16_t));
    hash = Hash(hash, pcm.data(), pcm.size() * sizeof(int16_t));
    if (samples == 0) continue;
    const size_t length = transcoder.Transmit(pcm.data(), pcm.size(), workspace.get());
    hash = Hash(hash, workspace->slab.message, length);
    if (count % 5 != 0) continue;
    const size_t concealed = kRatio * (1 + Below(kMaxConcealed / kRatio));
    transcoder.Conceal(concealed, workspace.get());
    hash = Hash(hash, workspace->slab.samples, concealed * sizeof(int16_t));
  }
  for (int frame = 0; frame < 500; ++frame) {
    Block<int16_t> pcm(960);
    Fill(pcm, static_cast<Kind>(frame % kKinds), false);
    const size_t length = transcoder.Transmit(pcm.data(), pcm.size(), workspace.get());
    hash = Hash(hash, workspace->slab.message, length);
    const size_t left = Shorten(pcm.data(), pcm.size(), kMaxPeriod);
    hash = Hash(hash, pcm.data(), left * sizeof(int16_t));
  }
  return hash;
}

int Main(int argc, char** argv) {
  const bool onlyHash = argc > 1 && std::strcmp(argv[1], "hash") == 0;
  const int rounds = argc > 1 && !onlyHash ? std::atoi(argv[1]) : 4000;
  // Every length that a block of samples and a vector of base64 can end at; what follows is more of the same blocks.
  constexpr size_t kEveryLength = 3 * kBlock;
  const uint64_t wanted = onlyHash ? 0 : HashCall(kScalarKernels, kEveryLength, 1);
  if (!onlyHash) CheckShortener();
  for (size_t i = 0; const Kernels* kernels = UsableKernels(i); ++i) {
    if (onlyHash) {
      std::printf("%s %016llx\n", kernels->name, static_cast<unsigned long long>(HashCall(*kernels, 4000, 13)));
      continue;
    }
    CheckResamplers(*kernels, rounds);
    CheckG711(*kernels);
    CheckBase64(*kernels);
    CheckMixer(*kernels);
    if (HashCall(*kernels, kEveryLength, 1) != wanted) Fail(*kernels, "a call", 0, 0);
    std::printf("%s: as the scalar kernels\n", kernels->name);
  }
  return 0;
}

}  // namespace
}  // namespace trunkline

int main(int argc, char** argv) { return trunkline::Main(argc, argv); }
