#include "broker/cluster/redis_reply.hpp"

namespace parley::cluster {
namespace {

class RedisCategory final : public boost::system::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "parley.redis"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<RedisError>(value)) {
      case RedisError::Unavailable: return "Redis is not connected";
      case RedisError::TimedOut: return "Redis did not reply in time";
      case RedisError::ConnectionLost: return "the connection to Redis was lost";
      case RedisError::Refused: return "Redis refuses user, password or database";
      case RedisError::UnexpectedReply: return "Redis gave a reply of an unexpected kind";
      case RedisError::NoMaster: return "no sentinel names a master that agrees";
      case RedisError::SlotsUncovered: return "Redis Cluster has no node for the key's slot";
      case RedisError::TooManyRedirects: return "Redis Cluster redirects without end";
    }
    return "unknown";
  }
};

}  // namespace

boost::system::error_code make_error_code(RedisError error) {
  static const RedisCategory category;
  return {static_cast<int>(error), category};
}

std::string_view RedisReply::error_word() const {
  if (kind != Kind::Error) return {};
  return std::string_view(text).substr(0, text.find(' '));
}

}  // namespace parley::cluster
