#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.hpp"

namespace parley::shard {

/// What is known of whom a CONNECT is from. A value.
struct Login {
  std::string client_id;
  bool assigned = false;                        ///< The client id was made here.
  std::string method;                           ///< Authentication Method; empty: none.
  std::uint32_t packet_size_max = 0xFFFF'FFFF;  ///< What the client takes.
  std::string user;
  std::optional<Timestamp> expires;
  std::string data;  ///< Authentication Data for CONNACK.
};

}  // namespace parley::shard
