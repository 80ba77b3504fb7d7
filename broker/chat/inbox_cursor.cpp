#include "broker/chat/inbox_cursor.hpp"

#include <algorithm>

#include "base/base64.hpp"
#include "base/bytes.hpp"
#include "base/varint.hpp"

namespace parley::chat {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kIncomplete = 1;
constexpr std::size_t kHead = 6;   ///< Version, flags, check value of the user.
constexpr std::size_t kCheck = 2;  ///< At the end.
/// Of one conversation, at the least.
constexpr std::size_t kPositionMin = 4;

std::uint32_t check_of_user(std::string_view user) { return static_cast<std::uint32_t>(stable_hash(user)); }

/// `{conversation}:{number}`; a conversation's name may have colons.
struct Named {
  std::string conversation;  ///< As the server calls it; see conversation_meant.
  std::uint64_t number = 0;
};
std::optional<Named> read_named(std::string_view value, std::string_view user) {
  const auto colon = value.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  const auto number = read_decimal(value.substr(colon + 1));
  if (!number) return std::nullopt;
  const std::string_view name = value.substr(0, colon);
  return Named{conversation_meant(name, user).value_or(std::string(name)), *number};
}

}  // namespace

const InboxPosition* InboxCursor::find(ConversationNumber number) const {
  const auto found = std::ranges::lower_bound(positions, number, {}, &InboxPosition::number);
  return found == positions.end() || found->number != number ? nullptr : &*found;
}

std::uint16_t check_of(Epoch epoch) { return static_cast<std::uint16_t>(epoch.value); }

std::string encode_inbox_cursor(const InboxCursor& cursor) {
  std::string bytes(1, static_cast<char>(kVersion));
  bytes.push_back(static_cast<char>(cursor.complete ? 0 : kIncomplete));
  append_big_endian(bytes, check_of_user(cursor.user));
  append_varint(bytes, cursor.floor.milliseconds);
  append_varint(bytes, cursor.positions.size());
  std::uint64_t before = 0;
  for (const InboxPosition& one : cursor.positions) {
    append_varint(bytes, one.number.value - before);
    append_big_endian(bytes, one.epoch_check);
    append_varint(bytes, one.acknowledged.value);
    before = one.number.value;
  }
  append_big_endian(bytes, static_cast<std::uint16_t>(stable_hash(bytes)));
  std::string token;
  append_base64url(token, bytes);
  return token;
}

std::optional<InboxCursor> decode_inbox_cursor(std::string_view token, std::string_view user) {
  const auto bytes = decode_base64url(token);
  if (!bytes || bytes->size() < kHead + kCheck) return std::nullopt;
  const std::string_view whole = *bytes;
  const auto check = static_cast<std::uint16_t>(stable_hash(whole.substr(0, whole.size() - kCheck)));
  if (load_big_endian<std::uint16_t>(whole.data() + whole.size() - kCheck) != check) return std::nullopt;
  const auto flags = static_cast<std::uint8_t>(whole[1]);
  if (static_cast<std::uint8_t>(whole[0]) != kVersion || flags > kIncomplete) return std::nullopt;
  if (load_big_endian<std::uint32_t>(whole.data() + 2) != check_of_user(user)) return std::nullopt;
  std::string_view rest = whole.substr(kHead, whole.size() - kHead - kCheck);
  const auto floor = take_varint(rest);
  const auto count = floor ? take_varint(rest) : std::nullopt;
  if (!count || *count > rest.size() / kPositionMin) return std::nullopt;
  InboxCursor cursor{.user = std::string(user), .complete = flags == 0, .floor = {*floor}, .positions = {}};
  cursor.positions.reserve(*count);
  std::uint64_t number = 0;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto step = take_varint(rest);
    if (!step || *step == 0 || *step > ~std::uint64_t{0} - number || rest.size() < 2) return std::nullopt;
    number += *step;
    const auto epoch_check = load_big_endian<std::uint16_t>(rest.data());
    rest.remove_prefix(2);
    const auto acknowledged = take_varint(rest);
    if (!acknowledged) return std::nullopt;
    cursor.positions.push_back({{number}, epoch_check, {*acknowledged}});
  }
  if (!rest.empty()) return std::nullopt;
  return cursor;
}

Refusal InboxStart::add(std::string_view name, std::string_view value, std::string_view user) {
  if (name == "since") {
    if (const auto named = read_named(value, user)) {
      since.insert_or_assign(named->conversation, named->number);
      return Refusal::None;
    }
    if (value != "last") return Refusal::InvalidArgument;
    rest = {StartPosition::Kind::SinceLast, 0};
  } else if (name == "last") {
    const auto last = read_last(value);
    if (!last) return Refusal::InvalidArgument;
    rest = *last;
  } else if (name == "epoch") {
    const auto named = read_named(value, user);
    if (!named) return Refusal::OtherEpoch;
    epochs.insert_or_assign(named->conversation, Epoch{named->number});
  } else if (name == "cursor") {
    cursor = decode_inbox_cursor(value, user);
    if (!cursor) return Refusal::InvalidCursor;
  }
  return Refusal::None;
}

}  // namespace parley::chat
