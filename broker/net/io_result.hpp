#pragma once

#include <cstddef>
#include <cstdint>

namespace parley::net {

/// What a read or write has come to.
struct IoResult {
  enum class Status : std::uint8_t {
    Done,
    Blocked,     ///< The socket has no bytes, or takes none.
    WantsWrite,  ///< A read that must write first, which the socket doesn't take.
    Ended,       ///< The other side has closed, or the connection is broken.
  };
  std::size_t size = 0;
  Status status = Status::Done;
};

}  // namespace parley::net
