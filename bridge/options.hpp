#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "bridge/request_parser.hpp"
#include "bridge/senders.hpp"

namespace parley::bridge {

/// What one bridge needs to know. Deadlines are looked at once a second.
struct BridgeOptions {
  std::string listen_host = "127.0.0.1";
  std::uint16_t listen_port = 8080;  ///< 0: any free one.
  std::string data_dir;
  unsigned readers_max = 1024;
  unsigned threads = 1;
  std::size_t connections_max = 10'000;
  bool allow_anonymous = false;  ///< Users are who they say they are.
  bool authenticates = false;    ///< The broker can check passwords or tokens.
  std::string chat_root = "chat";
  std::string token_user_claim = "sub";  ///< Which claim of a token names the user.
  SenderOptions broker;
  RequestLimits request;
  Duration idle_limit = std::chrono::seconds(75);    ///< Between two requests of a connection.
  Duration header_limit = std::chrono::seconds(10);  ///< From a request's first byte to its header's end.
  Duration body_limit = std::chrono::seconds(30);    ///< From there to its end.
  Duration write_limit = std::chrono::seconds(30);   ///< For one response, or one burst of a stream.
  Duration stop_limit = std::chrono::seconds(10);    ///< For what is under way when the bridge stops.
  Duration heartbeat = std::chrono::seconds(15);     ///< Of an event stream without events.
};

}  // namespace parley::bridge
