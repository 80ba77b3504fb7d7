#pragma once

#include <boost/json.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/format/keys.hpp"
#include "storage/format/rows.hpp"
#include "tests/bridge/bridge_process.hpp"
#include "tests/bridge/http_client.hpp"
#include "tests/storage/world.hpp"

namespace parley::bridge::test {

/// A history that this process writes, and a bridge beside it that reads it.
class HistoryFixture : public ::testing::Test {
 protected:
  void start(const std::vector<std::string>& arguments = {}) {
    bridge_.emplace(data_dir(), arguments);
    client_.emplace(bridge_->port());
  }

  std::string data_dir() { return std::filesystem::path(world_.directory()).parent_path().string(); }

  /// A conversation with entries 1 … head.
  ConversationNumber conversation(std::string_view name, std::uint64_t head) {
    const auto number = world_.create(name);
    if (head != 0) world_.say(number, 1, head);
    return number;
  }

  /// As if retention had taken everything below `oldest`. Materialises first.
  void cut(ConversationNumber number, std::uint64_t oldest) {
    world_.materialise();
    const auto key = format::number_key(number);
    const std::string stored = world_.stored(world_.files().store(), storage::kConversations, key);
    auto row = storage::test::must(format::decode_conversation_row(stored));
    row.oldest = {oldest};
    std::string changed;
    format::encode_row(changed, row);
    world_.overwrite(world_.files().store(), storage::kConversations, key, changed);
  }

  HttpReply get(std::string_view target, const HttpFields& fields = {}) { return client_->get(target, fields); }

  static boost::json::value json(const HttpReply& reply) {
    boost::json::error_code error;
    auto value = boost::json::parse(reply.body, error);
    EXPECT_FALSE(error) << reply.body;
    return value;
  }
  static std::string code(const HttpReply& reply) {
    EXPECT_EQ(reply.header("content-type"), "application/problem+json");
    return std::string(json(reply).at("code").as_string());
  }
  static std::vector<std::uint64_t> seqs(const HttpReply& reply) {
    EXPECT_EQ(reply.status, 200U) << reply.body;
    std::vector<std::uint64_t> found;
    const auto page = json(reply);
    for (const auto& entry : page.at("data").as_array()) found.push_back(entry.at("seq").to_number<std::uint64_t>());
    return found;
  }
  static std::vector<std::uint64_t> run(std::uint64_t first, std::uint64_t last) {
    std::vector<std::uint64_t> numbers;
    for (auto number = first; number <= last; ++number) numbers.push_back(number);
    return numbers;
  }
  static std::optional<std::string> cursor(const HttpReply& reply, std::string_view which) {
    const auto page = json(reply);
    const auto& value = page.at("meta").at(boost::json::string_view(which.data(), which.size()));
    return value.is_null() ? std::nullopt : std::optional(std::string(value.as_string()));
  }

  storage::test::World world_;
  std::optional<BridgeProcess> bridge_;
  std::optional<HttpClient> client_;
};

}  // namespace parley::bridge::test
