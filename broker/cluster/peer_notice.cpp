#include "broker/cluster/peer_notice.hpp"

#include <algorithm>
#include <utility>

#include "base/bytes.hpp"
#include "broker/cluster/node_file.hpp"
#include "broker/replication/messages_codec.hpp"

namespace parley::cluster {
namespace {

enum class Kind : std::uint8_t { Heartbeat = 0, Node = 1, Removal = 2, Drain = 3, Clients = 4, Pins = 5, Move = 6 };

struct Encoder {
  std::string& bytes;
  void operator()(const replication::Heartbeat& heartbeat) {
    append_big_endian(bytes, static_cast<std::uint8_t>(Kind::Heartbeat));
    replication::encode(heartbeat, bytes);
  }
  void operator()(const NodeNotice& notice) {
    append_big_endian(bytes, static_cast<std::uint8_t>(Kind::Node));
    append_big_endian(bytes, static_cast<std::uint8_t>(notice.draining ? 1 : 0));
    append_big_endian(bytes, notice.address.port);
    bytes.append(notice.address.host);
  }
  void operator()(const RemovalNotice& notice) {
    append_big_endian(bytes, static_cast<std::uint8_t>(Kind::Removal));
    append_big_endian(bytes, notice.birth);
  }
  void operator()(const DrainNotice& notice) {
    append_big_endian(bytes, static_cast<std::uint8_t>(Kind::Drain));
    append_big_endian(bytes, static_cast<std::uint8_t>(notice.draining ? 1 : 0));
  }
  void operator()(const ClientsNotice& notice) {
    append_big_endian(bytes, static_cast<std::uint8_t>(Kind::Clients));
    append_big_endian(bytes, static_cast<std::uint8_t>(notice.leaving ? 1 : 0));
    bytes.append(notice.address);
  }
  void operator()(const PinsNotice& notice) {
    append_big_endian(bytes, static_cast<std::uint8_t>(Kind::Pins));
    for (const auto& [slot, stamp] : notice.pins) {
      append_big_endian(bytes, static_cast<std::uint16_t>(slot.value));
      append_big_endian(bytes, stamp);
    }
  }
  void operator()(const MoveNotice& notice) {
    append_big_endian(bytes, static_cast<std::uint8_t>(Kind::Move));
    append_big_endian(bytes, static_cast<std::uint8_t>(notice.pinned ? 1 : 0));
    append_big_endian(bytes, static_cast<std::uint16_t>(notice.slot.value));
    append_big_endian(bytes, notice.stamp);
  }
};

std::optional<PeerNotice> read_node(std::string_view bytes) {
  constexpr std::size_t kHead = 3;
  if (bytes.size() < kHead || !is_host(bytes.substr(kHead))) return std::nullopt;
  const auto host = bytes.substr(kHead);
  return NodeNotice{.address = {.host = std::string(host), .port = load_big_endian<std::uint16_t>(bytes.data() + 1)},
                    .draining = bytes.front() != 0};
}

constexpr std::size_t kPinSize = 2 + 8;

std::optional<PeerNotice> read_pins(std::string_view bytes) {
  if (bytes.size() % kPinSize != 0) return std::nullopt;
  PinsNotice notice;
  for (; !bytes.empty(); bytes.remove_prefix(kPinSize)) {
    const Slot slot{load_big_endian<std::uint16_t>(bytes.data())};
    if (!notice.pins.empty() && slot <= notice.pins.rbegin()->first) return std::nullopt;
    notice.pins[slot] = load_big_endian<std::uint64_t>(bytes.data() + 2);
  }
  return notice;
}

std::optional<PeerNotice> read_move(std::string_view bytes) {
  if (bytes.size() != 1 + kPinSize || static_cast<unsigned char>(bytes.front()) > 1) return std::nullopt;
  return MoveNotice{.slot = {load_big_endian<std::uint16_t>(bytes.data() + 1)},
                    .stamp = load_big_endian<std::uint64_t>(bytes.data() + 3),
                    .pinned = bytes.front() == 1};
}

}  // namespace

std::string encode_notice(const PeerNotice& notice) {
  std::string bytes;
  std::visit(Encoder{bytes}, notice);
  return bytes;
}

std::optional<PeerNotice> read_notice(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  const auto kind = static_cast<Kind>(bytes.front());
  bytes.remove_prefix(1);
  if (kind == Kind::Node) return read_node(bytes);
  if (kind == Kind::Removal) {
    if (bytes.size() != sizeof(std::uint64_t)) return std::nullopt;
    return RemovalNotice{load_big_endian<std::uint64_t>(bytes.data())};
  }
  if (kind == Kind::Drain) {
    if (bytes.size() != 1) return std::nullopt;
    return DrainNotice{bytes.front() != 0};
  }
  if (kind == Kind::Clients) {
    constexpr std::size_t kAddressMax = 255;
    if (bytes.empty() || bytes.size() > 1 + kAddressMax) return std::nullopt;
    const auto address = bytes.substr(1);
    const auto printable = [](char c) { return c > ' ' && c < '\x7f'; };
    if (!std::ranges::all_of(address, printable)) return std::nullopt;
    return ClientsNotice{.leaving = bytes.front() != 0, .address = std::string(address)};
  }
  if (kind == Kind::Pins) return read_pins(bytes);
  if (kind == Kind::Move) return read_move(bytes);
  if (kind != Kind::Heartbeat) return std::nullopt;
  auto message = replication::decode(bytes);
  if (!message) return std::nullopt;
  auto* heartbeat = std::get_if<replication::Heartbeat>(&*message);
  return heartbeat == nullptr ? std::nullopt : std::optional<PeerNotice>(std::move(*heartbeat));
}

}  // namespace parley::cluster
