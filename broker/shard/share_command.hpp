#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "broker/chat/topic.hpp"

namespace parley::shard {

/// What a shard tells a conversation's home about a member of a shared subscription: the payload of a proposal with
/// Purpose::Share. Pure. Format: docs/formats/node-events.md.
struct ShareCommand {
  enum class Op : std::uint8_t {
    Joins,
    Away,  ///< Its client has gone, its session may come back.
    Ends   ///< It has unsubscribed, or its session has ended.
  };

  Op op = Op::Joins;
  std::string group;
  std::string member;        ///< The client id, with the form that it subscribes to; see ShareMembers.
  std::uint64_t token = 0;   ///< Which time of membership; 0 in Ends: whichever.
  std::uint64_t shard = 0;   ///< Whose client it is, and where it is told which entries are its own.
  std::uint64_t window = 0;  ///< That many at once.
  bool lasts = false;        ///< Its session outlives the connection.
  // Where the group begins, if there is none yet.
  chat::StartPosition start;
  Epoch start_epoch;      ///< 0: whichever.
  std::vector<Seq> held;  ///< Entries that it has under way from before, ascending.
};

std::string encode(const ShareCommand& command);
/// Nothing when it is damaged.
std::optional<ShareCommand> decode_share_command(std::string_view bytes);

}  // namespace parley::shard
