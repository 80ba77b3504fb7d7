#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/result.hpp"
#include "broker/chat/topic.hpp"
#include "broker/session/actions.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// UNSUBSCRIBE: whatever a filter was subscribed to ends, and the answer leaves when the session's record without it is
/// durable. Belongs to its shard's thread.
///
/// A SUBSCRIBE for the same conversation or inbox that is still on its way comes first. What was taken away stays away
/// also when that can't be stored, and UNSUBACK says so.
class Unsubscribing {
 public:
  explicit Unsubscribing(Shard& shard) : shard_(shard) {}

  void unsubscribe(Client& client, const session::UnsubscribeAction& action);

 private:
  struct Request;
  using RequestPtr = std::shared_ptr<Request>;

  void end(const RequestPtr& request, std::size_t index, Client& client, std::string_view filter);
  bool end_presence(Client& client, std::string_view filter);
  bool end_plain(Client& client, std::string_view filter);
  bool end_listening(Client& client, const chat::ChatFilter& filter);
  void end_inbox(const RequestPtr& request, std::size_t index, Client& client, const chat::ChatFilter& filter);
  /// `group`: of a shared subscription; else empty.
  void end_conversation(const RequestPtr& request, std::size_t index, const Client& client,
                        const chat::ChatFilter& filter, std::string_view group);
  /// One of the things that the answer waits for has come about.
  void settle(const RequestPtr& request);
  void answer(const Request& request, Client& client);

  Shard& shard_;
};

}  // namespace parley::shard
