#include "bridge/receipt.hpp"

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/log.hpp"
#include "bridge/query.hpp"
#include "json/entry_json.hpp"

namespace parley::bridge {
namespace {

using mqtt::ReasonCode;

Problem problem_of(boost::system::error_code error) {
  if (error == boost::system::errc::timed_out) return Problem::BrokerTimeout;
  if (error == boost::system::errc::device_or_resource_busy) return Problem::Busy;
  if (error == ReasonCode::PacketTooLarge) return Problem::TooLarge;
  if (error == ReasonCode::QosNotSupported) return Problem::BrokerFailed;
  return Problem::BrokerUnavailable;
}

/// For answers without a word: from brokers that aren't Parley's, or where the property didn't fit.
Problem problem_of(ReasonCode reason) {
  switch (reason) {
    case ReasonCode::NotAuthorized: return Problem::NotAuthorized;
    case ReasonCode::BadUserNameOrPassword: return Problem::NotAuthenticated;
    case ReasonCode::TopicNameInvalid: return Problem::InvalidTopic;
    case ReasonCode::PayloadFormatInvalid: return Problem::InvalidPayload;
    case ReasonCode::PacketTooLarge: return Problem::TooLarge;
    case ReasonCode::QuotaExceeded:
    case ReasonCode::MessageRateTooHigh:
    case ReasonCode::ServerBusy: return Problem::Busy;
    case ReasonCode::ServerUnavailable:
    case ReasonCode::ServerShuttingDown:
    case ReasonCode::UseAnotherServer: return Problem::BrokerUnavailable;
    default: return Problem::BrokerFailed;
  }
}

ProblemDetails refusal(const link::Answer& answer) {
  const auto properties = answer.properties();
  const auto word = properties.user("error");
  ProblemDetails details{
      .problem = word ? problem_of_word(*word) : problem_of(answer.reason), .detail = {}, .members = {}};
  details.detail = properties.text(mqtt::PropertyId::ReasonString).value_or(mqtt::name_of(answer.reason));
  const auto retry_after = read_decimal(properties.user("retry-after").value_or(""));
  if (retry_after && *retry_after <= 3'600) details.retry_after = static_cast<unsigned>(*retry_after);
  return details;
}

}  // namespace

bool write_refusal(const Result<link::Answer>& answer, Response& response) {
  if (answer && !answer->refused()) return false;
  if (answer) {
    response.set_problem(refusal(*answer));
    return true;
  }
  log::debug("the broker could not be asked", {{"error", answer.error().message()}});
  response.set_problem({.problem = problem_of(answer.error()), .detail = {}, .members = {}});
  return true;
}

Right right_of(const link::Answer& suback, Place place) {
  const auto oldest = read_decimal(suback.properties().user("oldest").value_or(""));
  const auto head = read_decimal(suback.properties().user("head").value_or(""));
  if (head) place.head = std::min(place.head, Seq{*head});
  return {.visible_from = Seq{oldest.value_or(1)}, .place = place};
}

void write_receipt(const Result<link::Answer>& answer, Response& response, bool changes) {
  if (write_refusal(answer, response)) return;
  const auto properties = answer->properties();
  const auto seq = read_decimal(properties.user("seq").value_or(""));
  const auto ts = read_decimal(properties.user("ts").value_or(""));
  const auto id = properties.user("id");
  if (changes && !seq) {
    response.body.append("{\"changed\":false}");
    return;
  }
  if (!seq || !ts || !id) {
    response.set_problem({.problem = Problem::BrokerFailed, .detail = "The broker gave no receipt.", .members = {}});
    return;
  }
  response.status = changes || properties.user("dup") ? 200 : 201;
  response.body.append("{\"seq\":").append(std::to_string(*seq)).append(",\"ts\":").append(std::to_string(*ts));
  response.body.append(",\"id\":");
  json::append_string(response.body, *id);
  if (properties.user("dup")) response.body.append(",\"dup\":true");
  response.body.push_back('}');
}

}  // namespace parley::bridge
