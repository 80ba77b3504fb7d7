#include <boost/json.hpp>
#include <cmath>

#include "base/name.hpp"
#include "broker/login/http_hook.hpp"

namespace parley::login {
namespace {

namespace json = boost::json;
using mqtt::ReasonCode;
using Verdict = shard::LoginAnswer::Verdict;

shard::LoginAnswer refused(ReasonCode reason, std::string_view why) {
  return {.verdict = Verdict::Refused, .user = {}, .data = {}, .exchange = {}, .reason = reason, .why = why};
}

shard::LoginAnswer unusable() {
  return refused(ReasonCode::ServerUnavailable, "The user service's answer can't be used.");
}

}  // namespace

shard::LoginAnswer read_hook_answer(unsigned status, std::string_view body, std::string_view user_name) {
  if (status == 401) return refused(ReasonCode::BadUserNameOrPassword, "The user service refuses the credentials.");
  if (status == 403) return refused(ReasonCode::NotAuthorized, "The user service refuses the user.");
  if (status != 200 && status != 204) return unusable();
  shard::LoginAnswer answer{
      .verdict = Verdict::Granted, .user = std::string(user_name), .data = {}, .exchange = {}, .why = {}};
  if (status == 200 && !body.empty()) {
    boost::system::error_code error;
    const auto value = json::parse(json::string_view(body.data(), body.size()), error);
    if (error || !value.is_object()) return unusable();
    const auto& object = value.as_object();
    if (const auto* user = object.if_contains("user")) {
      if (!user->is_string()) return unusable();
      answer.user = user->as_string();
    }
    if (const auto* expires = object.if_contains("expires")) {
      const double seconds = expires->is_number() ? expires->to_number<double>(error) : -1;
      if (error || !std::isfinite(seconds) || seconds < 0 || seconds > 253'402'300'800.0) return unusable();
      answer.expires = Timestamp{static_cast<std::uint64_t>(seconds * 1000)};
    }
  }
  if (!is_name(answer.user)) return refused(ReasonCode::NotAuthorized, "The user service names no valid user.");
  return answer;
}

}  // namespace parley::login
