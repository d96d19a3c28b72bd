// Twilio's `media` message, read and written as text without a JSON parser.
// Source: Twilio docs, "Media Streams - WebSocket Messages". Twilio sends compact JSON, so a message is matched
// literally; a message that differs in any way is not wrong, only not for this reader: a JSON parser takes it.

#ifndef TRUNKLINE_NATIVE_MEDIA_MESSAGE_H_
#define TRUNKLINE_NATIVE_MEDIA_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/kernels.h"

namespace trunkline {

/// Twilio's SIDs have 34 characters; longer ones are accepted up to this.
inline constexpr size_t kMaxStreamSid = 64;

/// Room for everything in an outgoing message but its SID and payload.
inline constexpr size_t kMediaEnvelope = 64;

/// The fields of an inbound message. `payload` points into the message and is not yet known to be base64.
struct MediaMessage {
  int64_t sequenceNumber;
  int64_t timestamp;  // ms since the stream began
  std::string_view payload;
};

/// Reads a message that has one of the two known key orders, the inbound track, counters of digits alone (at most 15)
/// and the given stream SID. Returns false, with `media` untouched, for every other message.
bool ScanMedia(std::string_view message, std::string_view streamSid, MediaMessage* media);

/// Writes {"event":"media","streamSid":"...","media":{"payload":"..."}} with `count` bytes of payload and returns its
/// length: at most kMediaEnvelope + the SID's + Base64Length(count). The SID is written as it is: it must need no
/// escape.
size_t WriteMedia(const Kernels& kernels, std::string_view streamSid, const uint8_t* bytes, size_t count, char* text);

}  // namespace trunkline

#endif  // TRUNKLINE_NATIVE_MEDIA_MESSAGE_H_
