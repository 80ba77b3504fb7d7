#pragma once

#include "broker/shard/events.hpp"
#include "broker/shard/node_events.hpp"

/// Events about presence as nodes say them to each other, and back. Views point into what they are made from.
namespace parley::shard::remote {

PresenceReport report_of(std::string_view user, const chat::PresenceReport& report);
chat::PresenceReport report_of(const PresenceReport& event);
PresenceShown shown_of(std::string_view user, const chat::Presence& presence);
chat::Presence presence_of(const PresenceShown& event);
PresenceAsk ask_of(const PresenceAskEvent& event);
PresenceAskEvent ask_of(const PresenceAsk& event);
OnlineAsk ask_of(const OnlineAskEvent& event);
OnlineAskEvent ask_of(const OnlineAsk& event);
OnlineAnswer answer_of(const OnlineAnswerEvent& event);
OnlineAnswerEvent answer_of(const OnlineAnswer& event);

}  // namespace parley::shard::remote
