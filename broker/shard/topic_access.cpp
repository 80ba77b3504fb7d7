#include "broker/shard/topic_access.hpp"

#include <string>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "broker/chat/topic.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/topic.hpp"

namespace parley::shard {
namespace {

auth::Subject subject_of(const Client& client) {
  return {.user = client.session->user(), .client_id = client.session->client_id()};
}

}  // namespace

bool TopicAccess::may_publish(const Client& client, std::string_view topic) const {
  return !rules_ || may_publish(subject_of(client), topic);
}

auth::Coverage TopicAccess::readable(const Client& client, std::string_view filter) const {
  if (!rules_ || filter == reply_topic(client.session->client_id())) return auth::Coverage::Whole;
  return rules_->readable(subject_of(client), filter);
}

bool TopicAccess::begin_reading(Client& client, std::string_view filter) const {
  if (!rules_) return true;
  // A group's message goes to one member, so each must be one who may have it.
  if (const auto shared = mqtt::shared_filter(filter)) return readable(client, shared->filter) == auth::Coverage::Whole;
  const auto covered = readable(client, filter);
  if (covered == auth::Coverage::Part) client.reads_partly = true;
  return covered != auth::Coverage::None;
}

bool TopicAccess::may_deliver(const Client& client, std::string_view topic) const {
  if (!client.reads_partly || !rules_) return true;
  return topic == reply_topic(client.session->client_id()) ||
         rules_->may(auth::Access::Read, subject_of(client), topic);
}

void TopicAccess::set(std::shared_ptr<const auth::AccessRules> rules) {
  rules_ = std::move(rules);
  shard_.clients().for_each([this](Client& client) { look_again(client); });
}

void TopicAccess::look_again(Client& client) {
  client.reads_partly = false;
  std::vector<std::string> lost;
  for (const auto& subscription : client.session->subscriptions()) {
    const auto shared = mqtt::shared_filter(subscription.filter);
    if (!shard_.is_plain(shared ? shared->filter : std::string_view(subscription.filter))) continue;
    if (!go_on_reading(client, subscription.filter)) lost.push_back(subscription.filter);
  }
  for (const std::string& filter : lost) {
    shard_.plain_topics().unsubscribe(client, filter);
    client.session->remove_subscription(filter);
  }
  if (!lost.empty() && client.persisted) shard_.session_records().write(client, {}, nullptr);
}

bool TopicAccess::go_on_reading(Client& client, std::string_view filter) const {
  const auto shared = mqtt::shared_filter(filter);
  if (readable(client, shared ? shared->filter : filter) == auth::Coverage::Whole) return true;
  if (!shared) {
    client.reads_partly = true;
    return true;
  }
  log::info("a client may not read all of a shared filter any more, ending the subscription",
            {{"client_id", client.session->client_id()}, {"filter", filter}});
  return false;
}

}  // namespace parley::shard
