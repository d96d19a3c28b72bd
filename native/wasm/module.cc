// The WebAssembly face of the core: plain exports over one fixed memory, no imports. It trusts its caller:
// src/media/checked-core.ts checks every argument, src/media/wasm.ts copies it in.

#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>

#include "../base64.h"
#include "../dtmf.h"
#include "../kernels/kernels.h"
#include "../mixer.h"
#include "../payload.h"
#include "../resampler.h"
#include "../shortener.h"
#include "../transcoder.h"

#define EXPORT(name) extern "C" __attribute__((export_name(#name)))

extern "C" unsigned char __heap_base;

namespace trunkline {
namespace {

/// Where arguments are copied to, and results that do not belong in the slab are copied from.
constexpr size_t kScratch = 1024 * 1024;

struct Memory {
  Workspace workspace;
  alignas(64) uint8_t input[kScratch];
  alignas(64) uint8_t output[kScratch];
};

Memory memory;

// ---- Cells: room for one object each, from the end of the static data to the end of the memory ----

union Cell {
  Cell* next;  // while it is free
  Transcoder transcoder;
  Upsampler upsampler;
  Downsampler downsampler;
  DtmfGenerator generator;
  Cell() = delete;
};

Cell* firstFree = nullptr;
Cell* firstUnused = nullptr;

Cell* TakeCell() {
  if (firstFree) {
    Cell* cell = firstFree;
    firstFree = cell->next;
    return cell;
  }
  if (!firstUnused) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(&__heap_base);
    firstUnused = reinterpret_cast<Cell*>((begin + alignof(Cell) - 1) / alignof(Cell) * alignof(Cell));
  }
  const size_t end = __builtin_wasm_memory_size(0) * 65536;
  if (reinterpret_cast<uintptr_t>(firstUnused + 1) > end) return nullptr;
  return firstUnused++;
}

/// A fresh object in a cell of its own; null if the memory is full.
template <class T, class... Arguments>
void* Make(Arguments... arguments) {
  Cell* cell = TakeCell();
  return cell ? new (cell) T(arguments...) : nullptr;
}

const Kernels& TheKernels() { return *memory.workspace.kernels; }

}  // namespace

EXPORT(initialize) void Initialize() { memory.workspace.kernels = &BestKernels(); }
EXPORT(kernels) const char* KernelsName() { return TheKernels().name; }

EXPORT(infoAt) void* InfoAt() { return &memory.workspace.slab.info; }
EXPORT(samplesAt) void* SamplesAt() { return memory.workspace.slab.samples; }
EXPORT(samplesCapacity) size_t SamplesCapacity() { return sizeof(Slab::samples) / sizeof(int16_t); }
EXPORT(messageAt) void* MessageAt() { return memory.workspace.slab.message; }
EXPORT(messageCapacity) size_t MessageCapacity() { return sizeof(Slab::message); }
EXPORT(inputAt) void* InputAt() { return memory.input; }
EXPORT(outputAt) void* OutputAt() { return memory.output; }
EXPORT(scratchCapacity) size_t ScratchCapacity() { return kScratch; }

EXPORT(release) void Release(Cell* cell) {
  cell->next = firstFree;
  firstFree = cell;
}

EXPORT(newTranscoder) void* NewTranscoder(uint8_t format) { return Make<Transcoder>(static_cast<Format>(format)); }
EXPORT(bind) bool Bind(Transcoder* self, const char* sid, size_t length) { return self->Bind({sid, length}); }
EXPORT(receive) ptrdiff_t Receive(Transcoder* self, const char* message, size_t length) {
  return self->Receive({message, length}, &memory.workspace);
}
EXPORT(receivePayload)
ptrdiff_t ReceivePayload(Transcoder* self, const char* base64, size_t length, double timestampMs) {
  return self->ReceivePayload({base64, length}, timestampMs, &memory.workspace);
}
EXPORT(conceal) void Conceal(Transcoder* self, size_t count) { self->Conceal(count, &memory.workspace); }
EXPORT(transmit) size_t Transmit(Transcoder* self, const int16_t* pcm, size_t count) {
  return self->Transmit(pcm, count, &memory.workspace);
}
EXPORT(decode) void Decode(Transcoder* self, const uint8_t* bytes, size_t count, int16_t* pcm) {
  self->Decode(TheKernels(), bytes, count, pcm);
}
EXPORT(encode) void Encode(Transcoder* self, const int16_t* pcm, size_t count, uint8_t* bytes) {
  self->Encode(TheKernels(), pcm, count, bytes);
}

EXPORT(newUpsampler) void* NewUpsampler() { return Make<Upsampler>(); }
EXPORT(upsample) void Upsample(Upsampler* self, const int16_t* in, size_t count, int16_t* out) {
  self->Process(TheKernels(), in, count, out);
}
EXPORT(newDownsampler) void* NewDownsampler() { return Make<Downsampler>(); }
EXPORT(downsample) void Downsample(Downsampler* self, const int16_t* in, size_t count, int16_t* out) {
  self->Process(TheKernels(), in, count, out);
}

EXPORT(newDtmfGenerator) void* NewDtmfGenerator() { return Make<DtmfGenerator>(); }
EXPORT(dtmfPush)
bool DtmfPush(DtmfGenerator* self, const char* digits, size_t length, uint32_t tone, uint32_t pause) {
  return self->Push({digits, length}, {.tone = tone, .pause = pause});
}
EXPORT(dtmfRead) void DtmfRead(DtmfGenerator* self, int16_t* out, size_t count) { self->Read(out, count); }
EXPORT(dtmfLeft) size_t DtmfLeft(DtmfGenerator* self) { return self->left(); }
EXPORT(dtmfWaiting) size_t DtmfWaiting(DtmfGenerator* self) { return self->waiting(); }
EXPORT(dtmfClear) void DtmfClear(DtmfGenerator* self) { *self = {}; }

EXPORT(decodeMulaw) void DecodeMulaw(const uint8_t* bytes, size_t count, int16_t* pcm) {
  TheKernels().decodeMulaw(bytes, count, pcm);
}
EXPORT(encodeMulaw) void EncodeMulaw(const int16_t* pcm, size_t count, uint8_t* bytes) {
  TheKernels().encodeMulaw(pcm, count, bytes);
}
EXPORT(decodeAlaw) void DecodeAlaw(const uint8_t* bytes, size_t count, int16_t* pcm) {
  DecodePayload(TheKernels(), Format::kAlaw, bytes, count, pcm);
}
EXPORT(encodeAlaw) void EncodeAlaw(const int16_t* pcm, size_t count, uint8_t* bytes) {
  EncodePayload(TheKernels(), Format::kAlaw, pcm, count, bytes);
}
EXPORT(decodeBase64) ptrdiff_t Decode64(const uint8_t* text, size_t length, uint8_t* bytes) {
  return DecodeBase64(TheKernels(), text, length, bytes);
}
EXPORT(encodeBase64) size_t Encode64(const uint8_t* bytes, size_t count, char* text) {
  return EncodeBase64(TheKernels(), bytes, count, text);
}
EXPORT(mixMinus)
void MixMembersMinus(const int16_t* inputs, const uint8_t* active, size_t members, size_t samples, int16_t* outputs) {
  MixMinus(TheKernels(), inputs, active, members, samples, outputs);
}
EXPORT(mix)
void MixMembers(const int16_t* inputs, const uint8_t* active, size_t members, size_t samples, int16_t* output) {
  Mix(TheKernels(), inputs, active, members, samples, output);
}
EXPORT(shorten) size_t ShortenPiece(int16_t* pcm, size_t count, size_t most) { return Shorten(pcm, count, most); }

}  // namespace trunkline
