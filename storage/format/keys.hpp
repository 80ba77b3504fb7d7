#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/number.hpp"
#include "storage/format/keyed_hash.hpp"

/// Keys of log.mdb and store.mdb: big-endian, so that LMDB's bytewise order is the order of the numbers. Formats:
/// docs/formats/log.md, docs/formats/store.md.
namespace parley::format {

/// LMDB allows 511 bytes as it is built by the distributions.
inline constexpr std::size_t kKeySizeMax = 511;

/// A key of known size, on the stack.
template <std::size_t Size>
class Key {
 public:
  [[nodiscard]] std::string_view bytes() const { return {bytes_.data(), Size}; }
  operator std::string_view() const { return bytes(); }
  char* at(std::size_t offset) { return bytes_.data() + offset; }

 private:
  std::array<char, Size> bytes_;
};

template <class Tag>
Key<8> number_key(Number<Tag> number) {
  Key<8> key;
  store_big_endian(key.at(0), number.value);
  return key;
}
inline std::uint64_t number_from_key(std::string_view key) {
  return key.size() == 8 ? load_big_endian<std::uint64_t>(key.data()) : 0;
}

/// Of a slot's hard state in log.mdb: behind the file's own row, before every record.
inline Key<10> hard_state_key(Slot slot) {
  Key<10> key;
  store_big_endian(key.at(0), std::uint64_t{0});
  store_big_endian(key.at(8), static_cast<std::uint16_t>(slot.value));
  return key;
}

/// Nothing when `key` is no key of a hard state.
inline std::optional<Slot> hard_state_slot(std::string_view key) {
  if (key.size() != 10 || load_big_endian<std::uint64_t>(key.data()) != 0) return std::nullopt;
  return Slot{load_big_endian<std::uint16_t>(key.data() + 8)};
}

inline Key<16> entry_key(ConversationNumber conversation, Seq seq) {
  Key<16> key;
  store_big_endian(key.at(0), conversation.value);
  store_big_endian(key.at(8), seq.value);
  return key;
}
struct EntryPlace {
  ConversationNumber conversation;
  Seq seq;
};
/// Nothing when `key` is no entry key.
std::optional<EntryPlace> entry_place(std::string_view key);

/// Of table `amendments`: a message and an edit of it.
inline Key<24> amendment_key(ConversationNumber conversation, Seq message, Seq edit) {
  Key<24> key;
  store_big_endian(key.at(0), conversation.value);
  store_big_endian(key.at(8), message.value);
  store_big_endian(key.at(16), edit.value);
  return key;
}
/// The edit; 0 when `key` is no such key.
inline Seq amendment_seq(std::string_view key) {
  return {key.size() == 24 ? load_big_endian<std::uint64_t>(key.data() + 16) : 0};
}

/// Of table `slot_index`: a slot and which block of so many of its records.
inline constexpr std::uint64_t kSlotIndexBlock = 64;
inline Key<10> slot_index_key(Slot slot, std::uint64_t block) {
  Key<10> key;
  store_big_endian(key.at(0), static_cast<std::uint16_t>(slot.value));
  store_big_endian(key.at(2), block);
  return key;
}
struct SlotIndexPlace {
  Slot slot;
  std::uint64_t block = 0;
};
/// Nothing when `key` is no key of that table.
inline std::optional<SlotIndexPlace> slot_index_place(std::string_view key) {
  if (key.size() != 10) return std::nullopt;
  return SlotIndexPlace{{load_big_endian<std::uint16_t>(key.data())}, load_big_endian<std::uint64_t>(key.data() + 2)};
}

/// Of table `ids`: the conversation, which generation of its ids, and the hash of sender and id.
inline Key<20> id_key(ConversationNumber conversation, std::uint32_t generation, std::uint64_t hash) {
  Key<20> key;
  store_big_endian(key.at(0), conversation.value);
  store_big_endian(key.at(8), generation);
  store_big_endian(key.at(12), hash);
  return key;
}
std::uint64_t id_hash(const HashKey& hash_key, std::string_view from, std::string_view id);

/// Of table `sessions`; also what the keys of its cursors begin with. Client ids and topics may be longer than a key:
/// long ones are hashed, and the row says which they are.
std::string session_key(const HashKey& hash_key, std::string_view client_id);
/// Of table `cursors`.
std::string cursor_key(const HashKey& hash_key, std::string_view client_id, std::string_view topic);

}  // namespace parley::format
