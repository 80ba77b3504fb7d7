#pragma once

#include <atomic>
#include <cstdint>

namespace parley::net {

/// Of all listeners since the start. Any thread.
struct TransportCounters {
  using Count = std::atomic<std::uint64_t>;
  Count tls_handshakes = 0;  ///< Finished, resumed ones among them.
  Count tls_handshakes_resumed = 0;
  Count tls_handshakes_failed = 0;
  Count refused = 0;    ///< By a PROXY header, an upgrade or a frame.
  Count timed_out = 0;  ///< Without a CONNECT.
};

}  // namespace parley::net
