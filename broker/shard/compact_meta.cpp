#include "broker/shard/compact_meta.hpp"

#include "base/bytes.hpp"
#include "base/varint.hpp"

namespace parley::shard {
namespace {

/// 2025-01-01T00:00:00Z: times since then take 6 bytes until the year 2164.
constexpr std::uint64_t kTimeOrigin = 1'735'689'600'000;

constexpr std::uint8_t kSenderNamed = 1U << 0;
constexpr std::uint8_t kHasId = 1U << 1;
constexpr std::uint8_t kHasKind = 1U << 2;
constexpr std::uint8_t kEdited = 1U << 3;
constexpr std::uint8_t kRedacted = 1U << 4;

/// Names and ids have at most 128 bytes.
void append_text(std::string& to, std::string_view text) {
  to.push_back(static_cast<char>(text.size()));
  to.append(text);
}

std::uint64_t name_hash(std::string_view from) { return stable_hash(from) | 1U << 8; }

}  // namespace

std::uint8_t sender_place(std::string_view from) { return static_cast<std::uint8_t>(name_hash(from)); }

std::string compact_meta(const format::EntryRecord& entry, CompactParts parts) {
  const bool has_kind = entry.kind != format::EntryKind::Message;
  std::string bytes;
  bytes.push_back(static_cast<char>((parts.sender_named ? kSenderNamed : 0) | (parts.has_id ? kHasId : 0) |
                                    (has_kind ? kHasKind : 0) | (entry.edited ? kEdited : 0) |
                                    (entry.redacted ? kRedacted : 0)));
  append_varint(bytes, entry.seq.value);
  const std::uint64_t ts = entry.ts.milliseconds;
  append_varint(bytes, ts > kTimeOrigin ? ts - kTimeOrigin : 0);
  bytes.push_back(static_cast<char>(sender_place(entry.from)));
  if (parts.sender_named) append_text(bytes, entry.from);
  if (parts.has_id) append_text(bytes, entry.id);
  if (has_kind) {
    bytes.push_back(static_cast<char>(entry.kind));
    append_varint(bytes, entry.ref.value);
  }
  return bytes;
}

bool NamedSenders::knows(std::string_view from) const {
  return names_ && (*names_)[sender_place(from)] == name_hash(from);
}

void NamedSenders::name(std::string_view from) {
  if (!names_) names_ = std::make_unique<std::array<std::uint64_t, 256>>();
  (*names_)[sender_place(from)] = name_hash(from);
}

}  // namespace parley::shard
