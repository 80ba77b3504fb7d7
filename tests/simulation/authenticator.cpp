#include "tests/simulation/authenticator.hpp"

#include "broker/auth/identity.hpp"

namespace parley::simulation {

using Verdict = shard::LoginAnswer::Verdict;

std::optional<shard::LoginAnswer> Authenticator::authenticate(shard::ShardId shard, shard::LoginRequest request) {
  ++asked;
  auto answer = decide(request);
  if (at_once && !silent) return answer;
  answers_.push_back({shard, request.connection, std::move(answer)});
  return std::nullopt;
}

shard::LoginAnswer Authenticator::grant(std::string user) {
  shard::LoginAnswer answer{
      .verdict = Verdict::Granted, .user = std::move(user), .data = {}, .exchange = {}, .why = {}};
  answer.expires = expires;
  return answer;
}

shard::LoginAnswer Authenticator::decide(const shard::LoginRequest& request) {
  shard::LoginAnswer refused{
      .user = {}, .data = {}, .exchange = {}, .reason = mqtt::ReasonCode::NotAuthorized, .why = "Wrong."};
  if (request.method.empty()) {
    refused.reason = mqtt::ReasonCode::BadUserNameOrPassword;
    auto user = auth::anonymous_user({request.client_id, request.user_name, {}});
    if (!user) return refused;
    const auto known = passwords.find(*user);
    if (known != passwords.end() && request.password != known->second) return refused;
    return grant(*std::move(user));
  }
  if (request.method != "TEST") {
    refused.reason = mqtt::ReasonCode::BadAuthenticationMethod;
    return refused;
  }
  if (request.exchange == nullptr) {
    auto exchange = std::make_shared<Exchange>();
    exchange->user = request.data;
    return {.verdict = Verdict::Continue, .user = {}, .data = "?", .exchange = std::move(exchange), .why = {}};
  }
  const auto& exchange = static_cast<const Exchange&>(*request.exchange);
  const auto known = passwords.find(exchange.user);
  if (known == passwords.end() || known->second != request.data) return refused;
  auto answer = grant(exchange.user);
  answer.data = "welcome";
  return answer;
}

void Authenticator::work(shard::ShardId id, shard::Shard& shard) {
  if (silent) return;
  for (std::size_t count = answers_.size(); count > 0; --count) {
    Waiting one = std::move(answers_.front());
    answers_.pop_front();
    if (one.shard == id) {
      shard.authenticated(one.connection, std::move(one.answer));
    } else {
      answers_.push_back(std::move(one));
    }
  }
}

}  // namespace parley::simulation
