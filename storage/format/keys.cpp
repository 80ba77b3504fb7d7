#include "storage/format/keys.hpp"

namespace parley::format {
namespace {

constexpr std::size_t kClientIdPlainMax = 180;
constexpr std::size_t kTopicPlainMax = 320;
static_assert(1 + kClientIdPlainMax + 1 + kTopicPlainMax <= kKeySizeMax);

constexpr char kHashed = '\xFF';
constexpr char kPlain = '\x00';
static_assert(kClientIdPlainMax < 0xFF);

/// 128 bits that nobody can make meet without knowing the key.
void append_long_hash(std::string& to, const HashKey& key, std::string_view text) {
  append_big_endian(to, keyed_hash(key, text));
  append_big_endian(to, keyed_hash({key.low ^ 0x5555'5555'5555'5555, key.high}, text));
}

}  // namespace

std::optional<EntryPlace> entry_place(std::string_view key) {
  if (key.size() != 16) return std::nullopt;
  return EntryPlace{{load_big_endian<std::uint64_t>(key.data())}, {load_big_endian<std::uint64_t>(key.data() + 8)}};
}

std::uint64_t id_hash(const HashKey& hash_key, std::string_view from, std::string_view id) {
  // One hash's result keys the other, so that no sender and id run into each other.
  return keyed_hash({keyed_hash(hash_key, from), hash_key.high}, id);
}

std::string session_key(const HashKey& hash_key, std::string_view client_id) {
  std::string key;
  if (client_id.size() <= kClientIdPlainMax) {
    key.push_back(static_cast<char>(client_id.size()));
    key.append(client_id);
  } else {
    key.push_back(kHashed);
    append_long_hash(key, hash_key, client_id);
  }
  return key;
}

std::string cursor_key(const HashKey& hash_key, std::string_view client_id, std::string_view topic) {
  std::string key = session_key(hash_key, client_id);
  if (topic.size() <= kTopicPlainMax) {
    key.push_back(kPlain);
    key.append(topic);
  } else {
    key.push_back(kHashed);
    append_long_hash(key, hash_key, topic);
  }
  return key;
}

}  // namespace parley::format
