// What a prebuilt addon for Linux has instead of libstdc++ and libgcc, whose symbols a system that is older than the
// compiler's has not: memory from malloc, and an end where libstdc++ would throw, for C++ exceptions are off anyway.
// What is inline in the library's headers is compiled into the addon; a test looks at what is left to the C library.

#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

namespace {

[[noreturn]] void End(const char* why) {
  std::fputs("trunkline: the native core ends the process: ", stderr);
  std::fputs(why, stderr);
  std::fputc('\n', stderr);
  std::abort();
}

void* Allocate(size_t size) {
  void* memory = std::malloc(size);
  if (!memory) End("out of memory");
  return memory;
}

void* Allocate(size_t size, std::align_val_t alignment) {
  const auto bytes = static_cast<size_t>(alignment);
  void* memory = std::aligned_alloc(bytes, (size + bytes - 1) / bytes * bytes);
  if (!memory) End("out of memory");
  return memory;
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void* operator new(size_t size, std::align_val_t alignment) { return Allocate(size, alignment); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace std {
template class basic_string<char>;
void __throw_length_error(const char* what) { End(what); }
void __throw_logic_error(const char* what) { End(what); }
void __throw_out_of_range_fmt(const char* what, ...) { End(what); }
void __throw_bad_alloc() { End("out of memory"); }
void __throw_bad_array_new_length() { End("out of memory"); }
}  // namespace std

extern "C" {
void __cxa_pure_virtual() { End("a pure virtual function was called"); }
/// Node has threads. The C library's own variable of that name is younger than some we run on.
extern char __libc_single_threaded;
char __libc_single_threaded = 0;
}
