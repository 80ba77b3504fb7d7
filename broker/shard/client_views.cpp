#include "broker/shard/client_views.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/encode.hpp"
#include "mqtt/utf8.hpp"

namespace parley::shard {
namespace {

remote::ClientAnswer answer_of(std::uint64_t token, const ClientView& view) {
  return {token,        true,         view.client_id,     view.user,      view.address, view.transport,
          view.version, view.seconds, view.subscriptions, view.under_way, view.queued,  view.expiry};
}

ClientView view_from(const remote::ClientAnswer& event) {
  return {.client_id = std::string(event.client_id),
          .user = std::string(event.user),
          .address = std::string(event.address),
          .transport = std::string(event.transport),
          .version = event.version,
          .connected = true,
          .seconds = event.seconds,
          .subscriptions = event.subscriptions,
          .under_way = event.under_way,
          .queued = event.queued,
          .expiry = event.expiry};
}

/// What is no text for a reason is left out.
std::string reason_properties(std::string_view reason) {
  mqtt::PropertyWriter properties;
  if (!reason.empty() && reason.size() <= ClientViews::kReasonSizeMax && mqtt::is_mqtt_utf8(reason)) {
    properties.text(mqtt::PropertyId::ReasonString, reason);
  }
  return std::string(properties.bytes());
}

}  // namespace

ClientView ClientViews::view_of(const Client& client) const {
  const session::Session& session = *client.session;
  ClientView view{.client_id = session.client_id(), .user = session.user()};
  view.subscriptions = session.subscriptions().size();
  view.under_way = session.under_way();
  view.queued = session.queued();
  view.expiry = session.expiry_interval();
  view.connected = session.connected();
  if (!view.connected) return view;
  view.address = shard_.links().address(client.connection);
  view.transport = shard_.links().description(client.connection).transport;
  view.version = static_cast<std::uint64_t>(session.version());
  view.seconds = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(shard_.now() - client.connected_at).count());
  return view;
}

std::vector<ClientView> ClientViews::list(const ClientSearch& search) {
  const std::size_t limit = std::min(search.limit, kListMax);
  std::vector<const Client*> found;
  const auto by_id = [](const Client* a, const Client* b) { return a->session->client_id() < b->session->client_id(); };
  shard_.clients().for_each([&](Client& client) {
    const session::Session& session = *client.session;
    if (limit == 0 || (!session.connected() && !search.absent)) return;
    if (session.client_id() <= search.after || !session.client_id().starts_with(search.prefix)) return;
    if (search.user && session.user() != *search.user) return;
    if (found.size() == limit) {
      if (!by_id(&client, found.front())) return;
      std::ranges::pop_heap(found, by_id);
      found.pop_back();
    }
    found.push_back(&client);
    std::ranges::push_heap(found, by_id);
  });
  std::ranges::sort_heap(found, by_id);
  std::vector<ClientView> views;
  for (const Client* client : found) views.push_back(view_of(*client));
  return views;
}

void ClientViews::kick(Client& client, std::string_view reason) {
  log::info("an operator ends a client's connection", {{"client_id", client.session->client_id()},
                                                       {"user", client.session->user()},
                                                       {"address", shard_.links().address(client.connection)},
                                                       {"why", reason}});
  shard_.close_client(client, mqtt::ReasonCode::AdministrativeAction, reason_properties(reason));
}

void ClientViews::find(const std::string& client_id, const ClientOrder& order, Known known) {
  forget_late();
  Client* client = shard_.clients().find(client_id);
  if (client != nullptr && client->session->connected()) {
    Found found{.view = view_of(*client), .node = shard_.nodes().self()};
    if (order.kick) kick(*client, order.reason);
    known(std::move(found));
    return;
  }
  const std::uint64_t token = next_question_++;
  Question& question = questions_[token];
  if (client != nullptr) question.here = view_of(*client);
  question.known = std::move(known);
  question.due = shard_.now() + kWait;
  const Slot slot = slot_of_name(client_id, shard_.options());
  shard_.nodes().for_each_connected([&](NodeId node) { question.open.insert(node); });
  if (question.open.empty()) return settle(token, std::nullopt);
  const remote::ClientAsk ask{slot, client_id, order.kick, order.reason, shard_.id(), token};
  for (const NodeId node : question.open) {
    shard_.nodes().send(node, NodeChannel::Sessions, remote::encode_for(slot, ask));
  }
}

void ClientViews::asked(NodeId from, const remote::ClientAsk& event) {
  Client* client = shard_.clients().find(event.client_id);
  remote::ClientAnswer answer;
  answer.token = event.token;
  ClientView view;
  if (client != nullptr && client->session->connected()) {
    view = view_of(*client);
    answer = answer_of(event.token, view);
    if (event.kick) kick(*client, event.reason);
  }
  shard_.nodes().send(from, NodeChannel::Sessions, remote::encode_for_shard(static_cast<ShardId>(event.shard), answer));
}

void ClientViews::answered(NodeId from, const remote::ClientAnswer& event) {
  const auto question = questions_.find(event.token);
  if (question == questions_.end() || question->second.open.erase(from) == 0) return;
  if (event.found) {
    settle(event.token, Found{.view = view_from(event), .node = from});
  } else if (question->second.open.empty()) {
    settle(event.token, std::nullopt);
  }
}

void ClientViews::node_unreachable(NodeId node) {
  for (auto next = questions_.begin(); next != questions_.end();) {
    const auto question = next++;
    if (question->second.open.erase(node) != 0 && question->second.open.empty()) settle(question->first, std::nullopt);
  }
}

void ClientViews::settle(std::uint64_t token, std::optional<Found> found) {
  auto question = questions_.extract(token);
  auto& here = question.mapped().here;
  if (!found && here) found = Found{.view = std::move(*here), .node = shard_.nodes().self()};
  question.mapped().known(std::move(found));
}

void ClientViews::forget_late() {
  std::erase_if(questions_, [now = shard_.now()](const auto& one) { return one.second.due <= now; });
}

}  // namespace parley::shard
