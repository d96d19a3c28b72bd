// What the SIMD files need of a compiler: instructions that the rest of the program must not use, and a way to keep its
// optimiser from rearranging what was arranged by hand.

#ifndef TRUNKLINE_NATIVE_KERNELS_INSTRUCTIONS_H_
#define TRUNKLINE_NATIVE_KERNELS_INSTRUCTIONS_H_

// Everything between BEGIN and END may use the instructions. Headers that others share are included before BEGIN: an
// inline function compiled between them could become the copy that the whole program uses, on any processor.
#define TRUNKLINE_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TRUNKLINE_BEGIN_INSTRUCTIONS(names) \
  TRUNKLINE_PRAGMA(clang attribute push(__attribute__((target(names))), apply_to = function))
#define TRUNKLINE_END_INSTRUCTIONS _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define TRUNKLINE_BEGIN_INSTRUCTIONS(names) _Pragma("GCC push_options") TRUNKLINE_PRAGMA(GCC target(names))
#define TRUNKLINE_END_INSTRUCTIONS _Pragma("GCC pop_options")
#else
// MSVC allows every instruction everywhere.
#define TRUNKLINE_BEGIN_INSTRUCTIONS(names)
#define TRUNKLINE_END_INSTRUCTIONS
#endif

#if defined(__GNUC__)
#define TRUNKLINE_INLINE inline __attribute__((always_inline))
#else
#define TRUNKLINE_INLINE __forceinline
#endif

// GCC 12 hoists products out of the sums and spills them, and computes every address in advance; both cost a third of
// the speed. An empty statement that claims to change a value keeps it where it is.
#if defined(__GNUC__) && defined(__x86_64__)
#define TRUNKLINE_PIN(vector) __asm__("" : "+v"(vector))
#define TRUNKLINE_HIDE(pointer) __asm__("" : "+r"(pointer))
#elif defined(__GNUC__) && defined(__aarch64__)
#define TRUNKLINE_PIN(vector) __asm__("" : "+w"(vector))
#define TRUNKLINE_HIDE(pointer) __asm__("" : "+r"(pointer))
#else
#define TRUNKLINE_PIN(vector)
#define TRUNKLINE_HIDE(pointer)
#endif

#endif  // TRUNKLINE_NATIVE_KERNELS_INSTRUCTIONS_H_
