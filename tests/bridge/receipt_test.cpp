#include "bridge/receipt.hpp"

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <boost/json.hpp>

namespace parley::bridge {
namespace {

using mqtt::ReasonCode;

Response response_to(const Result<link::Answer>& answer) {
  Response response;
  write_receipt(answer, response);
  return response;
}

Response receipt(std::initializer_list<std::pair<std::string_view, std::string_view>> properties,
                 ReasonCode reason = ReasonCode::Success) {
  mqtt::PropertyWriter writer;
  for (const auto& [name, value] : properties) writer.user(name, value);
  return response_to(link::Answer{.reason = reason, .property_bytes = std::string(writer.bytes())});
}

std::string code_of(const Response& response) {
  return std::string(boost::json::parse(response.body).at("code").as_string());
}

TEST(Receipt, BecomesCreated) {
  const auto response = receipt({{"seq", "7"}, {"ts", "1700000000000"}, {"id", "a\"b"}});
  EXPECT_EQ(response.status, 201U);
  EXPECT_EQ(response.body, R"({"seq":7,"ts":1700000000000,"id":"a\"b"})");
}

TEST(Receipt, OfADuplicateBecomesOk) {
  const auto response = receipt({{"seq", "7"}, {"ts", "5"}, {"id", "x"}, {"dup", "1"}});
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(response.body, R"({"seq":7,"ts":5,"id":"x","dup":true})");
}

TEST(Receipt, ThatLacksAnythingIsTheBrokersFault) {
  EXPECT_EQ(receipt({}).status, 502U);
  EXPECT_EQ(receipt({{"seq", "7"}, {"ts", "5"}}).status, 502U);
  EXPECT_EQ(receipt({{"seq", "x"}, {"ts", "5"}, {"id", "a"}}).status, 502U);
}

TEST(Receipt, OfARefusalKeepsTheBrokersWord) {
  const auto response = receipt({{"error", "disk-full"}, {"retry-after", "42"}}, ReasonCode::QuotaExceeded);
  EXPECT_EQ(response.status, 507U);
  EXPECT_EQ(code_of(response), "disk-full");
  EXPECT_NE(response.headers.find("Retry-After: 42\r\n"), std::string::npos);
}

TEST(Receipt, OfARefusalWithoutAWordGoesByItsReason) {
  const std::pair<ReasonCode, unsigned> cases[] = {
      {ReasonCode::NotAuthorized, 403},    {ReasonCode::BadUserNameOrPassword, 401},
      {ReasonCode::TopicNameInvalid, 400}, {ReasonCode::PayloadFormatInvalid, 400},
      {ReasonCode::QuotaExceeded, 503},    {ReasonCode::ServerBusy, 503},
      {ReasonCode::PacketTooLarge, 413},   {ReasonCode::UnspecifiedError, 502}};
  for (const auto& [reason, status] : cases) EXPECT_EQ(receipt({}, reason).status, status);
}

TEST(Receipt, ThatNeverCameSaysWhy) {
  EXPECT_EQ(code_of(response_to(boost::asio::error::connection_refused)), "broker-unavailable");
  EXPECT_EQ(code_of(response_to(boost::asio::error::eof)), "broker-unavailable");
  EXPECT_EQ(code_of(response_to(make_error_code(boost::system::errc::timed_out))), "broker-timeout");
  EXPECT_EQ(code_of(response_to(make_error_code(boost::system::errc::device_or_resource_busy))), "busy");
  EXPECT_EQ(code_of(response_to(ReasonCode::PacketTooLarge)), "too-large");
}

}  // namespace
}  // namespace parley::bridge
