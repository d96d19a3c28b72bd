// libFuzzer: any bytes as base64 text, and as what becomes such text. All kernels agree; what is taken is written back
// the same. The loose reader takes what the strict one takes, and keeps to its room for anything.

#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../native/base64.h"

using trunkline::Base64Length;
using trunkline::DecodeBase64;
using trunkline::DecodeLooseBase64;
using trunkline::EncodeBase64;
using trunkline::Kernels;
using trunkline::kScalarKernels;
using trunkline::UsableKernels;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> wanted(size / 4 * 3), found(size / 4 * 3);
  const ptrdiff_t count = DecodeBase64(kScalarKernels, data, size, wanted.data());
  for (size_t i = 0; const Kernels* kernels = UsableKernels(i); ++i) {
    if (DecodeBase64(*kernels, data, size, found.data()) != count) std::abort();
    if (count > 0 && std::memcmp(found.data(), wanted.data(), static_cast<size_t>(count)) != 0) std::abort();
    std::vector<uint8_t> room((size + 3) / 4 * 3);
    const ptrdiff_t loose = DecodeLooseBase64(*kernels, data, size, room.data());
    if (loose > static_cast<ptrdiff_t>(room.size()) || (count >= 0 && loose != count)) std::abort();
    if (count > 0 && std::memcmp(room.data(), wanted.data(), static_cast<size_t>(count)) != 0) std::abort();
    if (count >= 0) {
      std::vector<char> text(Base64Length(static_cast<size_t>(count)));
      if (EncodeBase64(*kernels, wanted.data(), static_cast<size_t>(count), text.data()) != size) std::abort();
      if (size > 0 && std::memcmp(text.data(), data, size) != 0) std::abort();
    }
    std::vector<char> text(Base64Length(size));
    std::vector<uint8_t> back(text.size() / 4 * 3);
    EncodeBase64(*kernels, data, size, text.data());
    const auto* characters = reinterpret_cast<const uint8_t*>(text.data());
    if (DecodeBase64(*kernels, characters, text.size(), back.data()) != static_cast<ptrdiff_t>(size)) std::abort();
    if (size > 0 && std::memcmp(back.data(), data, size) != 0) std::abort();
  }
  return 0;
}
