#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "broker/cluster/peer_links.hpp"
#include "broker/replication/messages.hpp"

/// What the cluster's thread says to that of another node: bytes <-> values. Pure. Format: docs/formats/peer.md
/// "Channel 0".
namespace parley::cluster {

/// What a node says of itself, when a link is new and when it changes.
struct NodeNotice {
  PeerAddress address;
  bool draining = false;
};
/// A data directory that was taken out of the cluster.
struct RemovalNotice {
  std::uint64_t birth = 0;
};
/// An order of an operator who has asked another node: give your slots away, or take slots again.
struct DrainNotice {
  bool draining = false;
};
/// What a node says of its clients: whether it hands over what it leads and takes none, and where others find it.
struct ClientsNotice {
  bool leaving = false;
  std::string address;  ///< For Server Reference; empty: not known.
};
/// Which slots an operator has moved to the node that says so, all of them, and when.
struct PinsNotice {
  std::map<Slot, std::uint64_t> pins;  ///< Unix ms.
};
/// An order of an operator who has asked another node: lead this slot from now on, or as placement has it again.
struct MoveNotice {
  Slot slot;
  std::uint64_t stamp = 0;
  bool pinned = false;
};
using PeerNotice =
    std::variant<replication::Heartbeat, NodeNotice, RemovalNotice, DrainNotice, ClientsNotice, PinsNotice, MoveNotice>;

std::string encode_notice(const PeerNotice& notice);
/// Nothing when it isn't whole.
std::optional<PeerNotice> read_notice(std::string_view bytes);

}  // namespace parley::cluster
