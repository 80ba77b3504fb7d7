#include "broker/shard/presence_events.hpp"

namespace parley::shard::remote {
namespace {

/// A will's delay has no more (MQTT 5 §3.1.3.2.2), and what is longer couldn't be added to a time.
constexpr std::uint64_t kGraceMax = 0xFFFF'FFFFULL * 1000;

}  // namespace

PresenceReport report_of(std::string_view user, const chat::PresenceReport& report) {
  PresenceReport event;
  event.user = user;
  event.devices = report.devices;
  event.has_grace = report.grace.has_value();
  if (report.grace) {
    event.grace =
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(*report.grace).count());
  }
  event.has_status = report.status.has_value();
  if (report.status) event.status = *report.status;
  event.status_at = report.status_at;
  event.has_parting = report.parting.has_value();
  if (report.parting) event.parting = *report.parting;
  return event;
}

chat::PresenceReport report_of(const PresenceReport& event) {
  chat::PresenceReport report{.devices = event.devices, .status_at = event.status_at};
  if (event.has_grace) report.grace = std::chrono::milliseconds(std::min(event.grace, kGraceMax));
  if (event.has_status) report.status = event.status;
  if (event.has_parting) report.parting = event.parting;
  return report;
}

PresenceShown shown_of(std::string_view user, const chat::Presence& presence) {
  return {user, presence.online, presence.devices, presence.since, presence.status};
}

chat::Presence presence_of(const PresenceShown& event) {
  return {event.online, event.devices, event.since, std::string(event.status)};
}

PresenceAsk ask_of(const PresenceAskEvent& event) {
  return {event.asker, event.target, event.conversations, event.asks_target, event.node, event.shard, event.token};
}

PresenceAskEvent ask_of(const PresenceAsk& event) {
  return {.asker = std::string(event.asker),
          .target = std::string(event.target),
          .conversations = event.conversations,
          .asks_target = event.asks_target,
          .is_forwarded = true,
          .node = event.node,
          .shard = static_cast<ShardId>(event.shard),
          .token = event.token};
}

OnlineAsk ask_of(const OnlineAskEvent& event) {
  return {event.slot, {event.users.begin(), event.users.end()}, event.node, event.shard, event.token};
}

OnlineAskEvent ask_of(const OnlineAsk& event) {
  return {.slot = event.slot,
          .users = {event.users.begin(), event.users.end()},
          .is_forwarded = true,
          .node = event.node,
          .shard = static_cast<ShardId>(event.shard),
          .token = event.token};
}

OnlineAnswer answer_of(const OnlineAnswerEvent& event) {
  return {event.token, event.asked, {event.online.begin(), event.online.end()}};
}

OnlineAnswerEvent answer_of(const OnlineAnswer& event) {
  return {event.token, event.asked, {event.online.begin(), event.online.end()}};
}

}  // namespace parley::shard::remote
