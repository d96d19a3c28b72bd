// The kernels for any instruction set that has vectors. `Simd` is its vocabulary (see avx2.cc); everything here says
// what is done, and nothing says how wide. Included by the files that define one, each within a namespace of its own:
// the compiler flags differ, so no function of here may be shared between them.

#include "kernels.h"
#include "plan.h"

namespace trunkline {
namespace {

// ---- x6 ----

/// The sums of a vector of outputs, one of each phase. Named one by one: compilers keep these in registers, but not
/// always an array.
template <class Simd>
struct PhaseSums {
  typename Simd::Vector y0, y1, y2, y3, y4, y5;
};

/// Output vectors that are summed together, so that a tap is loaded once for both.
inline constexpr int kUpVectors = 2;

template <class Simd>
TRUNKLINE_INLINE void AddStep(const int32_t* pairs, const int16_t (*taps)[2], PhaseSums<Simd>* first,
                              PhaseSums<Simd>* second) {
  using Vector = typename Simd::Vector;
  const Vector a = Simd::Load(pairs), b = Simd::Load(pairs + Simd::kLanes);
  const Vector t0 = Simd::SplatPair(taps[0]);
  Simd::AddProductsTo(&first->y0, a, t0);
  Simd::AddProductsTo(&second->y0, b, t0);
  const Vector t1 = Simd::SplatPair(taps[1]);
  Simd::AddProductsTo(&first->y1, a, t1);
  Simd::AddProductsTo(&second->y1, b, t1);
  const Vector t2 = Simd::SplatPair(taps[2]);
  Simd::AddProductsTo(&first->y2, a, t2);
  Simd::AddProductsTo(&second->y2, b, t2);
  const Vector t3 = Simd::SplatPair(taps[3]);
  Simd::AddProductsTo(&first->y3, a, t3);
  Simd::AddProductsTo(&second->y3, b, t3);
  const Vector t4 = Simd::SplatPair(taps[4]);
  Simd::AddProductsTo(&first->y4, a, t4);
  Simd::AddProductsTo(&second->y4, b, t4);
  const Vector t5 = Simd::SplatPair(taps[5]);
  Simd::AddProductsTo(&first->y5, a, t5);
  Simd::AddProductsTo(&second->y5, b, t5);
}

/// From the scale of a group of rows to the next one, or to that of the output.
template <class Simd, int kGroup>
TRUNKLINE_INLINE void Rescale(typename Simd::Vector* sum) {
  if constexpr (kGroup == 0) *sum = Simd::Add(*sum, Simd::Splat(kUpRounding));
  *sum = Simd::ShiftRight32(*sum, UpShift(kGroup));
}

template <class Simd, int kGroup>
TRUNKLINE_INLINE void AddGroup(const int32_t* pairs, PhaseSums<Simd>* first, PhaseSums<Simd>* second) {
  constexpr int kBegin = (kTapRows - kUpGroups[kGroup].endRow) / 2;
  constexpr int kEnd = (kTapRows - kUpGroups[kGroup].firstRow) / 2;
  const int32_t* samples = pairs + 2 * kBegin;
  const int16_t(*taps)[kRatio][2] = kUpSteps.taps + kBegin;
  Simd::Hide(taps);
#pragma GCC unroll 2
  for (int step = kBegin; step < kEnd; ++step, samples += 2, ++taps) AddStep<Simd>(samples, *taps, first, second);
  for (PhaseSums<Simd>* sums : {first, second}) {
    Rescale<Simd, kGroup>(&sums->y0);
    Rescale<Simd, kGroup>(&sums->y1);
    Rescale<Simd, kGroup>(&sums->y2);
    Rescale<Simd, kGroup>(&sums->y3);
    Rescale<Simd, kGroup>(&sums->y4);
    Rescale<Simd, kGroup>(&sums->y5);
  }
  if constexpr (kGroup > 0) AddGroup<Simd, kGroup - 1>(pairs, first, second);
}

/// All phases of kUpVectors * kLanes outputs. `pairs` is where the oldest row meets the first output; a pair holds a
/// sample and the one after it.
template <class Simd>
TRUNKLINE_INLINE void UpsampleTile(const int32_t* pairs, int16_t* out) {
  const auto zero = Simd::Splat(0);
  PhaseSums<Simd> first = {zero, zero, zero, zero, zero, zero}, second = first;
  AddGroup<Simd, static_cast<int>(std::size(kUpGroups)) - 1>(pairs, &first, &second);
  Simd::StorePhases(first.y0, first.y1, first.y2, first.y3, first.y4, first.y5, out);
  Simd::StorePhases(second.y0, second.y1, second.y2, second.y3, second.y4, second.y5, out + kRatio * Simd::kLanes);
}

template <class Simd>
void Upsample(const int16_t* in, int count, UpHistory* history, int16_t* out) {
  constexpr int kTile = kUpVectors * Simd::kLanes;
  constexpr int kLongest = (kBlock + kTile - 1) / kTile * kTile;
  alignas(64) int16_t window[kHistory + kLongest + 2 * Simd::kLanes];
  alignas(64) int32_t pairs[kHistory + kLongest + 2 * Simd::kLanes];

  std::memcpy(window, history->samples, sizeof(history->samples));
  int16_t* const fresh = window + kHistory;
  int k = 0;
  for (; k + 2 * Simd::kLanes <= count; k += 2 * Simd::kLanes) {
    Simd::Store(fresh + k, Simd::ShiftRight16(Simd::Load(in + k), 16 - kUpInputBits));
  }
  for (; k < count; ++k) fresh[k] = static_cast<int16_t>(in[k] >> (16 - kUpInputBits));
  const int padded = (count + kTile - 1) / kTile * kTile;
  std::memset(fresh + count, 0, (padded - count + 2 * Simd::kLanes) * sizeof(int16_t));
  for (int i = 0; i < kHistory + padded; i += 2 * Simd::kLanes) Simd::StorePairs(window + i, pairs + i);

  // The oldest row of output k is window[k], and a step takes it with its successor.
  for (k = 0; k + kTile <= count; k += kTile) UpsampleTile<Simd>(pairs + k, out + kRatio * k);
  if (k < count) {
    int16_t last[kRatio * kTile];
    UpsampleTile<Simd>(pairs + k, last);
    std::memcpy(out + kRatio * k, last, kRatio * (count - k) * sizeof(int16_t));
  }
  std::memcpy(history->samples, window + count, sizeof(history->samples));
}

// ---- /6 ----

/// Rows whose numbers are equal modulo kStride share the vectors they load, since a vector's worth of outputs further
/// on meets the same samples.
inline constexpr int kStride = 8;

/// The kinds of partial sum by their rows: those of one kind follow each other step by step.
inline constexpr int kDownSets = static_cast<int>(std::size(kDownGroups));

constexpr int SetOf(int row) {
  for (int set = 0; set < kDownSets; ++set)
    if (row >= kDownGroups[set].firstRow && row < kDownGroups[set].endRow) return set;
  return -1;
}

/// Whether a partial sum of `set` begins, or has its last rows, at rows that are `step` modulo kStride.
constexpr bool BeginsAt(int set, int step) {
  for (const PartialSum& part : kPartialSums)
    if (part.firstRow == kDownGroups[set].firstRow && part.firstStep == step) return true;
  return false;
}
constexpr bool EndsAt(int set, int step) {
  for (const PartialSum& part : kPartialSums)
    if (part.firstRow == kDownGroups[set].firstRow && part.endStep == step + 1) return true;
  return false;
}

/// One pair of lanes for kVectors vectors of outputs. All its loops are unrolled by templates, so that which row meets
/// which output costs nothing when it runs, whatever the compiler thinks of unrolling.
template <class Simd, int kVectors>
class LanePair {
 public:
  using Vector = typename Simd::Vector;

  /// `newest` is the pair of samples that row 0 meets at the first output.
  static TRUNKLINE_INLINE void AddTo(Vector* totals, const int32_t* newest, const int16_t (*taps)[2]) {
    Simd::Hide(newest);
    Simd::Hide(taps);
    Vector sums[kDownSets][kVectors];
    AddSteps(std::make_integer_sequence<int, kStride>(), newest, taps, sums, totals);
  }

 private:
  static constexpr int kLanes = Simd::kLanes;
  /// Samples from one place to the next; a row tile and a vector are whole numbers of places long.
  static constexpr int kUnit = kLanes < kStride ? kLanes : kStride;
  static constexpr int kPlacesPerTile = kStride / kUnit;
  static constexpr int kPlacesPerVector = kLanes / kUnit;
  static constexpr int kRowTiles = (kTapRows + kStride - 1) / kStride;
  static constexpr int kFirstPlace = -(kRowTiles - 1) * kPlacesPerTile;
  static constexpr int kPlaces = (kVectors - 1) * kPlacesPerVector - kFirstPlace + 1;

  /// The row, of those that are kStep modulo kStride, that meets vector kVector's outputs at kPlace; none is -1.
  template <int kStep, int kPlace, int kVector>
  static constexpr int RowAt() {
    constexpr int kBack = kVector * kPlacesPerVector - kPlace;
    constexpr int kRow = kBack * kUnit + kStep;
    return kBack >= 0 && kBack % kPlacesPerTile == 0 && kRow < kTapRows ? kRow : -1;
  }

  template <int... kSteps>
  static TRUNKLINE_INLINE void AddSteps(std::integer_sequence<int, kSteps...>, const int32_t* newest,
                                        const int16_t (*taps)[2], Vector (*sums)[kVectors], Vector* totals) {
    (AddStep<kSteps>(newest, taps, sums, totals), ...);
  }

  /// Rows kStep, kStep + 8, ... of all outputs, and then the cuts of the partial sums that end here.
  template <int kStep>
  static TRUNKLINE_INLINE void AddStep(const int32_t* newest, const int16_t (*taps)[2], Vector (*sums)[kVectors],
                                       Vector* totals) {
    AddPlaces<kStep>(std::make_integer_sequence<int, kPlaces>(), newest, taps, sums);
    AddEnded<kStep>(std::make_integer_sequence<int, kDownSets>(), sums, totals);
  }

  template <int kStep, int... kPlaceNumbers>
  static TRUNKLINE_INLINE void AddPlaces(std::integer_sequence<int, kPlaceNumbers...>, const int32_t* newest,
                                         const int16_t (*taps)[2], Vector (*sums)[kVectors]) {
    (AddPlace<kStep, kFirstPlace + kPlaceNumbers>(std::make_integer_sequence<int, kVectors>(), newest, taps, sums),
     ...);
  }

  /// One load of samples, and every row that meets them at some vector.
  template <int kStep, int kPlace, int... kVectorNumbers>
  static TRUNKLINE_INLINE void AddPlace(std::integer_sequence<int, kVectorNumbers...>, const int32_t* newest,
                                        const int16_t (*taps)[2], Vector (*sums)[kVectors]) {
    if constexpr (((RowAt<kStep, kPlace, kVectorNumbers>() >= 0) || ...)) {
      const Vector samples = Simd::Load(newest + kPlace * kUnit - kStep);
      (AddRow<RowAt<kStep, kPlace, kVectorNumbers>(), kVectorNumbers>(samples, taps, sums), ...);
    }
  }

  template <int kRow, int kVector>
  static TRUNKLINE_INLINE void AddRow(Vector samples, const int16_t (*taps)[2], Vector (*sums)[kVectors]) {
    if constexpr (kRow >= 0) {
      constexpr int kSet = SetOf(kRow);
      // A step takes its rows from old to new: the first of a set is its oldest.
      constexpr bool kIsFirst =
          BeginsAt(kSet, kRow % kStride) && (kRow + kStride >= kTapRows || SetOf(kRow + kStride) != kSet);
      const Vector pair = Simd::SplatPair(taps[kRow]);
      Vector& sum = sums[kSet][kVector];
      sum = kIsFirst ? Simd::Multiply(samples, pair) : Simd::AddProducts(sum, samples, pair);
    }
  }

  template <int kStep, int... kSets>
  static TRUNKLINE_INLINE void AddEnded(std::integer_sequence<int, kSets...>, Vector (*sums)[kVectors],
                                        Vector* totals) {
    (AddCut<kStep, kSets>(sums[kSets], totals), ...);
  }

  template <int kStep, int kSet>
  static TRUNKLINE_INLINE void AddCut(const Vector* sums, Vector* totals) {
    if constexpr (EndsAt(kSet, kStep)) {
      for (int v = 0; v < kVectors; ++v) {
        totals[v] = Simd::Add(totals[v], Simd::ShiftRight32(sums[v], kDownGroups[kSet].scale - kTotalScale));
      }
    }
  }
};

template <class Simd>
void Downsample(const int16_t* in, int count, DownHistory* history, int16_t* out) {
  constexpr int kVectors = Simd::kDownVectors;
  constexpr int kTile = kVectors * Simd::kLanes;
  constexpr int kLongest = (kBlock + kTile - 1) / kTile * kTile;
  using Vector = typename Simd::Vector;
  alignas(64) int32_t window[kLanePairs][kHistory + kLongest];
  for (int pair = 0; pair < kLanePairs; ++pair) {
    std::memcpy(window[pair], history->pairs[pair], sizeof(history->pairs[pair]));
  }
  int k = 0;
  for (; k + Simd::kLanes <= count; k += Simd::kLanes) {
    Simd::SplitPairs(in + kRatio * k, window[0] + kHistory + k, window[1] + kHistory + k, window[2] + kHistory + k);
  }
  for (; k < count; ++k) {
    for (int pair = 0; pair < kLanePairs; ++pair) {
      std::memcpy(window[pair] + kHistory + k, in + kRatio * k + 2 * pair, sizeof(int32_t));
    }
  }
  const int padded = (count + kTile - 1) / kTile * kTile;
  for (int pair = 0; pair < kLanePairs; ++pair) {
    std::memset(window[pair] + kHistory + count, 0, (padded - count) * sizeof(int32_t));
  }

  for (k = 0; k < count; k += kTile) {
    Vector totals[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) totals[v] = Simd::Splat(kDownRounding);
#pragma GCC unroll 1
    for (int pair = 0; pair < kLanePairs; ++pair) {
      LanePair<Simd, kVectors>::AddTo(totals, window[pair] + kHistory + k, kDownPairs.taps[pair]);
    }
    int16_t last[kTile];
    int16_t* const to = k + kTile <= count ? out + k : last;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      Simd::StoreNarrow(Simd::ShiftRight32(totals[v], kTotalScale), to + v * Simd::kLanes);
    }
    if (to == last) std::memcpy(out + k, last, (count - k) * sizeof(int16_t));
  }
  for (int pair = 0; pair < kLanePairs; ++pair) {
    std::memcpy(history->pairs[pair], window[pair] + count, sizeof(history->pairs[pair]));
  }
}

// ---- G.711, in 16-bit lanes: a segment is found and undone by three halvings instead of a table ----

template <class Simd>
TRUNKLINE_INLINE typename Simd::Vector Select(typename Simd::Vector mask, typename Simd::Vector yes,
                                              typename Simd::Vector no) {
  return Simd::Or(Simd::And(mask, yes), Simd::AndNot(mask, no));
}

template <class Simd>
void DecodeMulaw(const uint8_t* bytes, size_t count, int16_t* pcm) {
  using Vector = typename Simd::Vector;
  constexpr size_t kStep = 2 * Simd::kLanes;
  const Vector zero = Simd::Splat(0);
  size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    const Vector code = Simd::Xor(Simd::WidenBytes(bytes + i), Simd::Splat16(0xFF));
    const Vector step = Simd::And(code, Simd::Splat16(15));
    Vector magnitude = Simd::Add16(Simd::Add16(step, step), Simd::Splat16(kMulawBias));
    // Segment bits 4, 5 and 6 double once, twice and four times.
    const Vector isOdd = Simd::Greater16(Simd::And(code, Simd::Splat16(0x10)), zero);
    magnitude = Simd::Add16(magnitude, Simd::And(isOdd, magnitude));
    const Vector has2 = Simd::Greater16(Simd::And(code, Simd::Splat16(0x20)), zero);
    magnitude = Select<Simd>(has2, Simd::ShiftLeft16(magnitude, 2), magnitude);
    const Vector has4 = Simd::Greater16(Simd::And(code, Simd::Splat16(0x40)), zero);
    magnitude = Select<Simd>(has4, Simd::ShiftLeft16(magnitude, 4), magnitude);
    magnitude = Simd::ShiftLeft16(Simd::Subtract16(magnitude, Simd::Splat16(kMulawBias)), 2);
    const Vector negative = Simd::Greater16(code, Simd::Splat16(0x7F));
    Simd::Store(pcm + i, Simd::Subtract16(Simd::Xor(magnitude, negative), negative));
  }
  kScalarKernels.decodeMulaw(bytes + i, count - i, pcm + i);
}

/// Where a magnitude is above `largest`, divides it by 2^bits and counts that in the segment of the code.
template <class Simd>
TRUNKLINE_INLINE void Halve(int largest, int bits, typename Simd::Vector* magnitude, typename Simd::Vector* code) {
  const auto above = Simd::Greater16(*magnitude, Simd::Splat16(static_cast<int16_t>(largest)));
  *magnitude = Select<Simd>(above, Simd::ShiftRight16(*magnitude, bits), *magnitude);
  *code = Simd::Or(*code, Simd::And(above, Simd::Splat16(static_cast<int16_t>(bits << 4))));
}

template <class Simd>
void EncodeMulaw(const int16_t* pcm, size_t count, uint8_t* bytes) {
  using Vector = typename Simd::Vector;
  constexpr size_t kStep = 2 * Simd::kLanes;
  size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    const Vector sample = Simd::Load(pcm + i);
    const Vector negative = Simd::Greater16(Simd::Splat(0), sample);
    Vector magnitude = Simd::ShiftRight16(Simd::Xor(sample, negative), 2);
    magnitude = Simd::Add16(magnitude, Simd::Splat16(kMulawBias));
    magnitude = Simd::Smaller16(magnitude, Simd::Splat16(kMulawLargest));
    Vector code = Simd::And(negative, Simd::Splat16(0x80));
    Halve<Simd>(511, 4, &magnitude, &code);
    Halve<Simd>(127, 2, &magnitude, &code);
    Halve<Simd>(63, 1, &magnitude, &code);
    code = Simd::Or(code, Simd::And(Simd::ShiftRight16(magnitude, 1), Simd::Splat16(15)));
    Simd::StoreNarrowBytes(Simd::Xor(code, Simd::Splat16(0xFF)), bytes + i);
  }
  kScalarKernels.encodeMulaw(pcm + i, count - i, bytes + i);
}

// ---- Base64: characters and values by comparison with the edges of the ranges of the alphabet ----

/// The bytes of `c` from `first` to `last`.
template <class Simd>
TRUNKLINE_INLINE typename Simd::Vector Within(typename Simd::Vector c, char first, char last) {
  return Simd::And(Simd::Greater8(c, Simd::Splat8(static_cast<char>(first - 1))),
                   Simd::Greater8(Simd::Splat8(static_cast<char>(last + 1)), c));
}

/// Bits of every lane moved to the left, or for a negative number to the right, as far as the mask lets them through.
template <class Simd>
TRUNKLINE_INLINE typename Simd::Vector Move(typename Simd::Vector v, int left, int32_t mask) {
  return Simd::And(left > 0 ? Simd::ShiftLeft32(v, left) : Simd::ShiftRightZero32(v, -left), Simd::Splat(mask));
}

/// `character` with `step` added where `value` is at least `first`.
template <class Simd>
TRUNKLINE_INLINE typename Simd::Vector StepFrom(typename Simd::Vector character, typename Simd::Vector value, int first,
                                                int step) {
  const auto reached = Simd::Greater8(value, Simd::Splat8(static_cast<char>(first - 1)));
  return Simd::Add8(character, Simd::And(reached, Simd::Splat8(static_cast<char>(step))));
}

template <class Simd>
bool DecodeBase64(const uint8_t* text, size_t groups, uint8_t* bytes) {
  using Vector = typename Simd::Vector;
  Vector valid = Simd::Splat8(-1);
  // A vector is written with a few bytes beyond its own; they must still be the output's, so the last ones are scalar.
  constexpr size_t kGroups = Simd::kLanes;
  for (; groups >= kGroups + Simd::kSlackGroups; groups -= kGroups, text += 4 * kGroups, bytes += 3 * kGroups) {
    const Vector c = Simd::Load(text);
    const Vector upper = Within<Simd>(c, 'A', 'Z');
    const Vector lower = Within<Simd>(c, 'a', 'z');
    const Vector digit = Within<Simd>(c, '0', '9');
    const Vector plus = Simd::Equal8(c, Simd::Splat8('+'));
    const Vector slash = Simd::Equal8(c, Simd::Splat8('/'));
    valid = Simd::And(valid, Simd::Or(Simd::Or(Simd::Or(upper, lower), Simd::Or(digit, plus)), slash));
    Vector offset = Simd::Or(Simd::And(upper, Simd::Splat8(-'A')), Simd::And(lower, Simd::Splat8(26 - 'a')));
    offset = Simd::Or(offset, Simd::And(digit, Simd::Splat8(52 - '0')));
    offset = Simd::Or(offset, Simd::And(plus, Simd::Splat8(62 - '+')));
    offset = Simd::Or(offset, Simd::And(slash, Simd::Splat8(63 - '/')));
    // Four values a, b, c, d of six bits, a in the lowest byte, become the three bytes of a group, the first lowest.
    const Vector v = Simd::Add8(c, offset);
    const Vector first = Simd::Or(Move<Simd>(v, 2, 0xFC), Move<Simd>(v, -12, 0x03));
    const Vector second = Simd::Or(Move<Simd>(v, 4, 0xF000), Move<Simd>(v, -10, 0x0F00));
    const Vector third = Simd::Or(Move<Simd>(v, 6, 0xC00000), Move<Simd>(v, -8, 0x3F0000));
    Simd::StoreTriples(Simd::Or(Simd::Or(first, second), third), bytes);
  }
  return kScalarKernels.decodeBase64(text, groups, bytes) && Simd::AllOnes(valid);
}

template <class Simd>
void EncodeBase64(const uint8_t* bytes, size_t groups, char* text) {
  using Vector = typename Simd::Vector;
  constexpr size_t kGroups = Simd::kLanes;
  for (; groups >= kGroups + Simd::kSlackGroups; groups -= kGroups, bytes += 3 * kGroups, text += 4 * kGroups) {
    const Vector w = Simd::LoadTriples(bytes);
    const Vector a = Move<Simd>(w, -2, 0x3F);
    const Vector b = Simd::Or(Move<Simd>(w, 12, 0x3000), Move<Simd>(w, -4, 0x0F00));
    const Vector c = Simd::Or(Move<Simd>(w, 10, 0x3C0000), Move<Simd>(w, -6, 0x030000));
    const Vector d = Move<Simd>(w, 8, 0x3F000000);
    const Vector value = Simd::Or(Simd::Or(a, b), Simd::Or(c, d));
    // Each range of the alphabet lies a step away from the one before.
    Vector character = Simd::Add8(value, Simd::Splat8('A'));
    character = StepFrom<Simd>(character, value, 26, 'a' - 'Z' - 1);
    character = StepFrom<Simd>(character, value, 52, '0' - 'z' - 1);
    character = StepFrom<Simd>(character, value, 62, '+' - '9' - 1);
    character = StepFrom<Simd>(character, value, 63, '/' - '+' - 1);
    Simd::Store(text, character);
  }
  kScalarKernels.encodeBase64(bytes, groups, text);
}

// ---- Mixing ----

template <class Simd>
void Add(const int16_t* samples, size_t count, int32_t* total) {
  size_t i = 0;
  for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
    Simd::Store(total + i, Simd::Add(Simd::Load(total + i), Simd::Widen(samples + i)));
  }
  kScalarKernels.add(samples + i, count - i, total + i);
}

template <class Simd>
void Subtract(const int32_t* total, const int16_t* own, size_t count, int16_t* out) {
  size_t i = 0;
  for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
    Simd::StoreNarrow(Simd::Subtract(Simd::Load(total + i), Simd::Widen(own + i)), out + i);
  }
  kScalarKernels.subtract(total + i, own + i, count - i, out + i);
}

template <class Simd>
void Narrow(const int32_t* total, size_t count, int16_t* out) {
  size_t i = 0;
  for (; i + Simd::kLanes <= count; i += Simd::kLanes) Simd::StoreNarrow(Simd::Load(total + i), out + i);
  kScalarKernels.narrow(total + i, count - i, out + i);
}

/// As Limit of limit.h, for a vector of sums.
template <class Simd>
TRUNKLINE_INLINE typename Simd::Vector LimitSums(typename Simd::Vector sums) {
  using Vector = typename Simd::Vector;
  const Vector negative = Simd::ShiftRight32(sums, 31);
  const Vector magnitude = Simd::Subtract(Simd::Xor(sums, negative), negative);
  const Vector above = Simd::Subtract(magnitude, Simd::Splat(kKnee));
  const Vector excess = Simd::AndNot(Simd::ShiftRight32(above, 31), above);
  const Vector headroom = Simd::Splat(kHeadroom);
  const Vector missing = Simd::Quotient(kHeadroomSquared, Simd::Add(excess, headroom));
  const Vector limited = Simd::Add(Simd::Subtract(magnitude, excess), Simd::Subtract(headroom, missing));
  return Simd::Subtract(Simd::Xor(limited, negative), negative);
}

template <class Simd>
void SubtractLimited(const int32_t* total, const int16_t* own, size_t count, int16_t* out) {
  size_t i = 0;
  for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
    Simd::StoreNarrow(LimitSums<Simd>(Simd::Subtract(Simd::Load(total + i), Simd::Widen(own + i))), out + i);
  }
  kScalarKernels.subtractLimited(total + i, own + i, count - i, out + i);
}

template <class Simd>
void Limit(const int32_t* total, size_t count, int16_t* out) {
  size_t i = 0;
  for (; i + Simd::kLanes <= count; i += Simd::kLanes)
    Simd::StoreNarrow(LimitSums<Simd>(Simd::Load(total + i)), out + i);
  kScalarKernels.limit(total + i, count - i, out + i);
}

template <class Simd>
constexpr Kernels KernelsOf(const char* name) {
  return {
      name,
      Upsample<Simd>,
      Downsample<Simd>,
      DecodeMulaw<Simd>,
      EncodeMulaw<Simd>,
      DecodeBase64<Simd>,
      EncodeBase64<Simd>,
      Add<Simd>,
      Subtract<Simd>,
      Narrow<Simd>,
      SubtractLimited<Simd>,
      Limit<Simd>,
  };
}

}  // namespace
}  // namespace trunkline
