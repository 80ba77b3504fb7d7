#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "mqtt/packet.hpp"

namespace parley::session {

/// Packet ids of inbound QoS 2 publishes that the client has not released. MQTT 5 §4.3.3. At most Receive Maximum of
/// them, so a sorted vector is quickest.
class InboundIds {
 public:
  enum class State : std::uint8_t {
    Unknown,
    Pending,   ///< Handed to the shard, outcome not known.
    Received,  ///< PUBREC was due; a repeated PUBLISH is not handed on again.
  };

  [[nodiscard]] State state(mqtt::PacketId id) const {
    const auto place = find(id);
    return place != ids_.end() && place->id == id ? place->state : State::Unknown;
  }
  void set(mqtt::PacketId id, State state) {
    const auto place = ids_.begin() + (find(id) - ids_.begin());
    if (place != ids_.end() && place->id == id) {
      place->state = state;
    } else {
      ids_.insert(place, {id, state});
    }
  }
  void erase(mqtt::PacketId id) {
    const auto place = find(id);
    if (place == ids_.end() || place->id != id) return;
    ids_.erase(ids_.begin() + (place - ids_.begin()));
    if (ids_.empty()) ids_ = {};
  }
  void clear() { ids_ = {}; }
  [[nodiscard]] std::size_t size() const { return ids_.size(); }

  struct Item {
    mqtt::PacketId id;
    State state;
  };
  [[nodiscard]] std::span<const Item> items() const { return ids_; }

 private:
  [[nodiscard]] std::vector<Item>::const_iterator find(mqtt::PacketId id) const {
    return std::ranges::lower_bound(ids_, id, {}, &Item::id);
  }
  std::vector<Item> ids_;
};

}  // namespace parley::session
