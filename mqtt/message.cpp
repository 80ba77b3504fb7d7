#include "mqtt/message.hpp"

#include <algorithm>

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

}  // namespace

std::string_view forwarded_properties(const Properties& received, std::string& buffer) {
  if (std::ranges::all_of(received, is_forwarded)) return received.bytes();
  buffer.clear();
  for (const auto& item : received) {
    if (is_forwarded(item)) buffer.append(item.raw);
  }
  return buffer;
}

}  // namespace parley::mqtt
