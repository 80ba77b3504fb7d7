#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "broker/cluster/redis_connection.hpp"

/// Which server of a Redis Cluster has which key. Pure. Redis Cluster specification.
namespace parley::cluster {

inline constexpr std::uint16_t kRedisSlots = 16'384;

/// CRC16 (XMODEM) of the key, or of what stands between its first `{` and the next `}` when that isn't empty.
std::uint16_t redis_slot(std::string_view key);

/// What CLUSTER SLOTS says about masters; replicas aren't asked anything.
class RedisSlots {
 public:
  /// `asked`: whom an entry without a host means. Fails with UnexpectedReply.
  static Result<RedisSlots> read(const RedisReply& reply, const RedisAddress& asked);

  [[nodiscard]] std::optional<RedisAddress> find(std::string_view key) const;
  /// A server has said that it is there.
  void move(std::uint16_t slot, RedisAddress to);

 private:
  std::vector<std::optional<RedisAddress>> owners_ = std::vector<std::optional<RedisAddress>>(kRedisSlots);
};

struct Redirect {
  bool ask = false;  ///< This once only, after ASKING.
  std::uint16_t slot = 0;
  RedisAddress to;
};
/// "MOVED 3999 127.0.0.1:6381" and "ASK …"; none for other replies. `asked` as above.
std::optional<Redirect> read_redirect(const RedisReply& reply, const RedisAddress& asked);

}  // namespace parley::cluster
