#include "media_message.h"

#include <cstring>

#include "base64.h"

namespace trunkline {
namespace {

// 15 digits are below 2^53, so JavaScript sees the same number.
constexpr int kMaxDigits = 15;

/// A position in the text that only moves over what it expects.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool Skip(std::string_view literal) {
    if (text_.size() < literal.size() || std::memcmp(text_.data(), literal.data(), literal.size()) != 0) return false;
    text_.remove_prefix(literal.size());
    return true;
  }

  bool SkipEnd(std::string_view literal) {
    if (text_.size() < literal.size()) return false;
    const size_t length = text_.size() - literal.size();
    if (std::memcmp(text_.data() + length, literal.data(), literal.size()) != 0) return false;
    text_.remove_suffix(literal.size());
    return true;
  }

  bool Counter(int64_t* value) {
    int64_t number = 0;
    int digits = 0;
    for (; digits < static_cast<int>(text_.size()); ++digits) {
      const int digit = text_[digits] - '0';
      if (digit < 0 || digit > 9) break;
      if (digits == kMaxDigits) return false;
      number = 10 * number + digit;
    }
    if (digits == 0) return false;
    text_.remove_prefix(digits);
    *value = number;
    return true;
  }

  std::string_view rest() const { return text_; }

 private:
  std::string_view text_;
};

}  // namespace

bool ScanMedia(std::string_view message, std::string_view streamSid, MediaMessage* media) {
  Reader reader(message);
  int64_t sequenceNumber, chunk, timestamp;
  if (!reader.Skip(R"({"event":"media","sequenceNumber":")") || !reader.Counter(&sequenceNumber)) return false;

  // Twilio's examples put the SID last, the table of its documentation before "media".
  const bool sidFirst = reader.Skip(R"(","streamSid":")");
  if (sidFirst && !reader.Skip(streamSid)) return false;

  if (!reader.Skip(R"(","media":{"track":"inbound","chunk":")") || !reader.Counter(&chunk)) return false;
  if (!reader.Skip(R"(","timestamp":")") || !reader.Counter(&timestamp)) return false;
  if (!reader.Skip(R"(","payload":")")) return false;

  // The end is matched backwards. What remains is the payload; no quote can hide in it, because base64 has none.
  const bool ended =
      sidFirst ? reader.SkipEnd(R"("}})")
               : reader.SkipEnd(R"("})") && reader.SkipEnd(streamSid) && reader.SkipEnd(R"("},"streamSid":")");
  if (!ended) return false;
  *media = {sequenceNumber, timestamp, reader.rest()};
  return true;
}

namespace {

constexpr std::string_view kBeforeSid = R"({"event":"media","streamSid":")";
constexpr std::string_view kBeforePayload = R"(","media":{"payload":")";
constexpr std::string_view kAfterPayload = R"("}})";
static_assert(kBeforeSid.size() + kBeforePayload.size() + kAfterPayload.size() <= kMediaEnvelope);

char* Append(std::string_view piece, char* text) {
  std::memcpy(text, piece.data(), piece.size());
  return text + piece.size();
}

}  // namespace

size_t WriteMedia(const Kernels& kernels, std::string_view streamSid, const uint8_t* bytes, size_t count, char* text) {
  char* end = Append(kBeforeSid, text);
  end = Append(streamSid, end);
  end = Append(kBeforePayload, end);
  end += EncodeBase64(kernels, bytes, count, end);
  end = Append(kAfterPayload, end);
  return static_cast<size_t>(end - text);
}

}  // namespace trunkline
