// The objects of an environment, by handle: a number that JavaScript keeps in place of a wrapped object, which Node-API
// would look up through V8 in each call.

#ifndef TRUNKLINE_NATIVE_HANDLE_TABLE_H_
#define TRUNKLINE_NATIVE_HANDLE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace trunkline {

/// @tparam kIndexBits bits of a handle that number the objects: two to their power fit in at a time.
template <class T, unsigned kIndexBits = 16>
class HandleTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  /// Objects that fit in at a time.
  static constexpr uint32_t kCapacity = uint32_t{1} << kIndexBits;

  /// Takes an object. Returns its handle, at most 2^31 - 1, so that V8 stores it without a heap object; kNone, with the
  /// object freed, if the table is full.
  uint32_t Add(std::unique_ptr<T> object) {
    uint32_t index = firstFree_;
    if (index != kNone) {
      firstFree_ = slots_[index].nextFree;
    } else {
      index = static_cast<uint32_t>(slots_.size());
      if (index == kCapacity) return kNone;
      slots_.push_back({index, kNone, nullptr});
    }
    slots_[index].object = std::move(object);
    ++size_;
    return slots_[index].handle;
  }

  /// Null if the handle is of no object, or of one that was removed.
  T* Find(uint32_t handle) const {
    const uint32_t index = handle % kCapacity;
    if (index >= slots_.size() || slots_[index].handle != handle) return nullptr;
    return slots_[index].object.get();
  }

  /// Frees an object; its slot goes to the next one, under another handle. Ignores a handle of none.
  void Remove(uint32_t handle) {
    if (!Find(handle)) return;
    const uint32_t index = handle % kCapacity;
    Slot& slot = slots_[index];
    slot.object.reset();
    slot.handle = (handle + kCapacity) % kHandles;
    slot.nextFree = firstFree_;
    firstFree_ = index;
    --size_;
  }

  /// Objects that were not removed.
  size_t size() const { return size_; }

 private:
  static constexpr uint32_t kHandles = uint32_t{1} << 31;

  struct Slot {
    uint32_t handle;  // its number, and above it how often it was reused
    uint32_t nextFree;
    std::unique_ptr<T> object;  // null while it is free
  };

  std::vector<Slot> slots_;
  uint32_t firstFree_ = kNone;
  size_t size_ = 0;
};

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_HANDLE_TABLE_H_
