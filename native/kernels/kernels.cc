#include "kernels.h"

namespace trunkline {
namespace {

struct Candidate {
  const Kernels* kernels;
  bool (*isUsable)();
};

constexpr Candidate kCandidates[] = {
#if defined(__x86_64__) || defined(_M_X64)
// MSVC has no such question to ask, and is not among the compilers we try.
#if defined(__GNUC__)
    {&kAvx512Kernels,
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
     }},
    {&kAvx2Kernels, [] { return __builtin_cpu_supports("avx2") != 0; }},
#endif
    {&kSse2Kernels, [] { return true; }},
#elif defined(__aarch64__) || defined(_M_ARM64)
    {&kNeonKernels, [] { return true; }},
#elif defined(__wasm_simd128__)
    {&kSimd128Kernels, [] { return true; }},
#endif
    {&kScalarKernels, [] { return true; }},
};

}  // namespace

const Kernels* UsableKernels(size_t index) {
  for (const Candidate& candidate : kCandidates) {
    if (candidate.isUsable() && index-- == 0) return candidate.kernels;
  }
  return nullptr;
}

const Kernels& BestKernels() { return *UsableKernels(0); }

const Kernels* FindKernels(std::string_view name) {
  for (size_t i = 0;; ++i) {
    const Kernels* kernels = UsableKernels(i);
    if (!kernels || name == kernels->name) return kernels;
  }
}

}  // namespace trunkline
