#include "broker/shard/reauthentication.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

/// How long before the end a client is told of it, unless its credentials live shorter.
constexpr Duration kNotice = std::chrono::seconds(60);
constexpr std::string_view kTooLarge = "The client takes no packet as large as its authentication needs.";

}  // namespace

void Reauthentication::begin(Client& client, std::optional<Timestamp> expires, bool has_method) {
  client.login_ends = Instant::max();
  client.login_notice = Instant::max();
  client.exchange.reset();
  if (!expires) return;
  const std::uint64_t now = shard_.wall().milliseconds;
  const std::uint64_t end = std::max(expires->milliseconds, now);
  // Whoever sees more than a year ahead is asked again then.
  const auto left = std::min<Duration>(std::chrono::milliseconds(end - now), std::chrono::hours(24 * 365));
  client.login_ends = shard_.now() + left;
  if (has_method) client.login_notice = client.login_ends - std::min<Duration>(kNotice, left / 4);
}

void Reauthentication::step(Client& client, const session::AuthAction& action) {
  LoginRequest request{.connection = client.connection,
                       .client_id = client.session->client_id(),
                       .user_name = {},
                       .password = {},
                       .method = std::string(action.method),
                       .data = std::string(action.data),
                       .exchange = action.begins ? nullptr : std::move(client.exchange),
                       .from = shard_.links().description(client.connection)};
  auto answer = shard_.authenticator().authenticate(shard_.id(), std::move(request));
  if (answer) answered(client, *std::move(answer));
}

void Reauthentication::answered(Client& client, LoginAnswer answer) {
  switch (answer.verdict) {
    case LoginAnswer::Verdict::Refused: refuse(client, answer.reason, answer.why); return;
    case LoginAnswer::Verdict::Continue:
      client.exchange = std::move(answer.exchange);
      if (client.session->write_auth(mqtt::ReasonCode::ContinueAuthentication, answer.data)) {
        shard_.wrote(client);
      } else {
        refuse(client, mqtt::ReasonCode::PacketTooLarge, kTooLarge);
      }
      return;
    case LoginAnswer::Verdict::Granted: break;
  }
  if (answer.user != client.session->user()) {
    refuse(client, mqtt::ReasonCode::NotAuthorized, "A re-authentication names another user.");
    return;
  }
  begin(client, answer.expires, true);
  if (!client.session->write_auth(mqtt::ReasonCode::Success, answer.data)) {
    refuse(client, mqtt::ReasonCode::PacketTooLarge, kTooLarge);
    return;
  }
  shard_.schedule(client);
  shard_.wrote(client);
}

bool Reauthentication::look(Client& client) {
  if (client.login_ends <= shard_.now()) {
    refuse(client, mqtt::ReasonCode::NotAuthorized, "The credentials have expired.");
    return false;
  }
  if (client.login_notice <= shard_.now()) {
    client.login_notice = Instant::max();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(client.login_ends - shard_.now());
    const Timestamp expires{shard_.wall().milliseconds + static_cast<std::uint64_t>(left.count())};
    shard_.publishing().send_reply(client, login_notice(client.session->client_id(), expires));
  }
  return true;
}

void Reauthentication::refuse(Client& client, mqtt::ReasonCode reason, std::string_view why) {
  log::info("ending a client's connection", {{"client_id", client.session->client_id()},
                                             {"address", shard_.links().address(client.connection)},
                                             {"reason", mqtt::name_of(reason)},
                                             {"why", why}});
  shard_.close_client(client, reason);
}

}  // namespace parley::shard
