#include "mqtt/message.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <type_traits>

#include "base/bytes.hpp"

namespace parley::mqtt {
namespace {

bool is_forwarded(const Properties::Item& item) {
  switch (item.id) {
    case PropertyId::TopicAlias:
    case PropertyId::SubscriptionIdentifier:
    case PropertyId::MessageExpiryInterval:
    case PropertyId::WillDelayInterval: return false;
    default: return true;
  }
}

std::size_t size_of(const Message::Parts& parts) {
  return parts.topic.size() + parts.properties.size() + parts.payload.size();
}

char* put(char* to, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

}  // namespace

Message::Message(const Parts& parts, char* bytes)
    : bytes_(bytes),
      payload_size_(parts.payload.size()),
      topic_size_(static_cast<std::uint32_t>(parts.topic.size())),
      properties_size_(static_cast<std::uint32_t>(parts.properties.size())),
      publisher_(parts.publisher),
      expires_(parts.expires.value_or(kNever)),
      qos_(parts.qos),
      retain_(parts.retain),
      at_once_(parts.at_once) {
  put(put(put(bytes, parts.topic), parts.properties), parts.payload);
}

MessagePtr Message::make(const Parts& parts) {
  // A block of words that holds the header and, behind it, the bytes; the pointer to the header shares its count.
  using Word = std::uint64_t;
  static_assert(alignof(Message) <= alignof(Word) && std::is_trivially_destructible_v<Message>);
  const std::size_t size = sizeof(Message) + size_of(parts);
  auto block = std::make_shared_for_overwrite<Word[]>((size + sizeof(Word) - 1) / sizeof(Word));
  char* const bytes = reinterpret_cast<char*>(block.get()) + sizeof(Message);
  const auto* message = new (block.get()) Message(parts, bytes);
  return {std::move(block), message};
}

std::uint64_t publisher_of(std::string_view client_id) { return std::max<std::uint64_t>(stable_hash(client_id), 1); }

std::string_view forwarded_properties(const Properties& received, std::string& buffer) {
  if (received.empty()) return {};
  if (std::ranges::all_of(received, is_forwarded)) return received.bytes();
  buffer.clear();
  for (const auto& item : received) {
    if (is_forwarded(item)) buffer.append(item.raw);
  }
  return buffer;
}

}  // namespace parley::mqtt
