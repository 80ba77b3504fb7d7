#include "mqtt/message.hpp"

namespace parley::mqtt {
namespace {

bool is_forwarded(PropertyId id) {
  return id != PropertyId::TopicAlias && id != PropertyId::SubscriptionIdentifier &&
         id != PropertyId::MessageExpiryInterval && id != PropertyId::WillDelayInterval;
}

}  // namespace

std::string_view forwarded_properties(const Properties& received, std::string& buffer) {
  bool all = true;
  for (const auto& item : received) all = all && is_forwarded(item.id);
  if (all) return received.bytes();
  buffer.clear();
  for (const auto& item : received) {
    if (is_forwarded(item.id)) buffer.append(item.raw);
  }
  return buffer;
}

}  // namespace parley::mqtt
