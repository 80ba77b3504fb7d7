#pragma once

#include <memory>
#include <string_view>

#include "broker/auth/access_file.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// Who may read and write ordinary topics: the access file's rules, as the shard asks them. Conversations are no matter
/// of it (broker/chat/access.hpp). Without rules everything is allowed. Belongs to its shard's thread.
class TopicAccess {
 public:
  explicit TopicAccess(Shard& shard) : shard_(shard) {}

  /// From now on these count, also for subscriptions that are there; null: none. See docs/formats/access.md.
  void set(std::shared_ptr<const auth::AccessRules> rules);

  [[nodiscard]] bool has_rules() const { return rules_ != nullptr; }
  [[nodiscard]] bool may_publish(const auth::Subject& subject, std::string_view topic) const {
    return !rules_ || rules_->may(auth::Access::Write, subject, topic);
  }
  [[nodiscard]] bool may_publish(const Client& client, std::string_view topic) const;
  /// False: the filter's SUBSCRIBE is refused. Notes in the client whether its messages must be asked about one by one.
  bool begin_reading(Client& client, std::string_view filter) const;
  /// The same about a filter to which the client has subscribed under other rules. False: it is a shared one, and the
  /// subscription must end; what the client may not read of another one isn't delivered.
  bool go_on_reading(Client& client, std::string_view filter) const;
  /// Whether it is delivered to a client whose filter matches, now or after it has waited.
  [[nodiscard]] bool may_deliver(const Client& client, std::string_view topic) const;

 private:
  [[nodiscard]] auth::Coverage readable(const Client& client, std::string_view filter) const;
  void look_again(Client& client);

  Shard& shard_;
  std::shared_ptr<const auth::AccessRules> rules_;
};

}  // namespace parley::shard
