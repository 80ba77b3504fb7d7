#include "broker/shard/subscribe_request.hpp"

namespace parley::shard {
namespace {

using mqtt::ReasonCode;

/// A refusal's Reason Code as SUBACK may carry it. MQTT 5 §3.9.3.
ReasonCode suback_reason(chat::Refusal refusal) {
  const auto reason = static_cast<ReasonCode>(chat::rule_of(refusal).reason);
  if (reason == ReasonCode::TopicNameInvalid) return ReasonCode::TopicFilterInvalid;
  return reason == ReasonCode::PayloadFormatInvalid ? ReasonCode::ImplementationSpecificError : reason;
}

}  // namespace

void SubscribeRequest::decide(std::size_t index, chat::Refusal refusal) {
  items[index].refusal = refusal;
  reasons[index] =
      refusal == chat::Refusal::None ? static_cast<ReasonCode>(items[index].options.qos) : suback_reason(refusal);
}

}  // namespace parley::shard
