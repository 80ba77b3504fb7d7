#include "broker/net/tls_records.hpp"

#include <gtest/gtest.h>

#include "tests/broker/net/tls_rig.hpp"

namespace parley::net {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

constexpr auto kUpdate = "\x18\0\0\1\0\x16"sv;
constexpr auto kUpdateOfBoth = "\x18\0\0\1\1\x16"sv;

/// A server's records, and the client's keys.
class TlsRecordsTest : public testing::Test {
 protected:
  TlsRecords::Input open(std::string bytes) {
    const auto input = records.open(bytes);
    text.append(bytes.data(), input.text);
    return input;
  }
  std::string sealed(std::string_view inner) { return seal_record(client, inner); }
  std::string sealed(std::initializer_list<std::string_view> inners) { return seal_records(client, inners); }
  std::string seal_text(std::string_view data) {
    std::string record(data.size() + records.overhead(), '\0');
    std::ranges::copy(data, record.begin() + static_cast<std::ptrdiff_t>(records.text_offset()));
    EXPECT_TRUE(records.seal(record));
    return record;
  }

  TrafficKeys client = keys_of(kAnySuite, 1);
  TrafficKeys server = keys_of(kAnySuite, 2);
  TlsRecords records{client, server};
  std::string text;
};

TEST_F(TlsRecordsTest, CarryData) {
  const std::string stream = sealed({"one\x17", "two\x17\0\0\0"sv, "\x17", "three\x17"});
  const auto input = open(stream);
  EXPECT_EQ(text, "onetwothree");
  EXPECT_EQ(input.taken, stream.size());
  EXPECT_FALSE(input.ended);
  EXPECT_EQ(open_record(server, seal_text("four")), "four\x17");
  EXPECT_EQ(open_record(server, seal_text(std::string(TlsRecords::kTextMax, 'x'))).size(), TlsRecords::kTextMax + 1);
}

TEST_F(TlsRecordsTest, WaitForTheWholeRecord) {
  const std::string record = sealed("text\x17");
  for (std::size_t size = 0; size < record.size(); ++size) {
    const auto input = open(record.substr(0, size));
    EXPECT_EQ(input.taken, 0U) << size;
    EXPECT_FALSE(input.ended) << size;
  }
  EXPECT_EQ(open(record).taken, record.size());
  EXPECT_EQ(text, "text");
}

TEST_F(TlsRecordsTest, ChangeKeysAsTheClientDoes) {
  std::string stream = sealed({"old\x17", kUpdate});
  client.update();
  stream += sealed("new\x17");
  EXPECT_FALSE(open(stream).ended);
  EXPECT_EQ(text, "oldnew");
  EXPECT_FALSE(records.owes_key_update());
}

TEST_F(TlsRecordsTest, AnswerKeyUpdatesOnce) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(open(sealed(kUpdateOfBoth)).ended);
    client.update();
  }
  ASSERT_TRUE(records.owes_key_update());
  EXPECT_EQ(open_record(server, records.update_keys()), kUpdate);
  EXPECT_FALSE(records.owes_key_update());
  server.update();
  EXPECT_EQ(open_record(server, seal_text("new")), "new\x17");
}

TEST_F(TlsRecordsTest, TakeAKeyUpdateInPieces) {
  EXPECT_FALSE(open(sealed({"\x18\0\x16"sv, "\0\1\x16"sv, "\0\x16"sv})).ended);
  client.update();
  EXPECT_FALSE(open(sealed("new\x17")).ended);
  EXPECT_EQ(text, "new");
}

TEST_F(TlsRecordsTest, EndWithAnAlert) {
  for (const auto alert : {"\1\0\x15"sv, "\2\x28\x15"sv, "\1\x28\x15"sv}) {
    TlsRecords fresh(keys_of(kAnySuite, 1), keys_of(kAnySuite, 2));
    auto keys = keys_of(kAnySuite, 1);
    std::string stream = seal_records(keys, {"last\x17", alert, "behind\x17"});
    const auto input = fresh.open(stream);
    EXPECT_EQ(stream.substr(0, input.text), "last");
    EXPECT_TRUE(input.ended);
    EXPECT_FALSE(input.failure);
  }
  EXPECT_FALSE(open(sealed({"\1\x5A\x15"sv, "more\x17"})).ended);  // user_canceled says nothing yet.
  EXPECT_EQ(text, "more");
}

TEST_F(TlsRecordsTest, RefuseWhatBreaksTheRules) {
  const std::string longest(TlsRecords::kTextMax, 'x');
  const struct {
    const char* what;
    std::string inner;
    TlsAlert alert;
  } cases[] = {
      {"no type", "\0\0\0"s, TlsAlert::UnexpectedMessage},
      {"an unknown type", "x\x18"s, TlsAlert::UnexpectedMessage},
      {"ChangeCipherSpec", "\1\x14"s, TlsAlert::UnexpectedMessage},
      {"too long by one", longest + "x\x17", TlsAlert::RecordOverflow},
      {"padded too long", longest + "\x17\0"s, TlsAlert::RecordOverflow},
      {"an alert cut off", "\1\x15"s, TlsAlert::DecodeError},
      {"two alerts", "\1\0\1\0\x15"s, TlsAlert::DecodeError},
      {"an empty alert", "\x15"s, TlsAlert::DecodeError},
      {"an empty handshake message", "\x16"s, TlsAlert::UnexpectedMessage},
      {"ClientHello", "\1\0\0\1\0\x16"s, TlsAlert::UnexpectedMessage},
      {"a KeyUpdate of another length", "\x18\0\0\2\0\x16"s, TlsAlert::DecodeError},
      {"a KeyUpdate that asks for something else", "\x18\0\0\1\2\x16"s, TlsAlert::IllegalParameter},
      {"a KeyUpdate with something behind", "\x18\0\0\1\0\x18\x16"s, TlsAlert::UnexpectedMessage},
  };
  for (const auto& bad : cases) {
    TlsRecords fresh(keys_of(kAnySuite, 1), keys_of(kAnySuite, 2));
    auto keys = keys_of(kAnySuite, 1);
    std::string stream = seal_records(keys, {"good\x17", bad.inner, "late\x17"});
    const auto input = fresh.open(stream);
    EXPECT_EQ(stream.substr(0, input.text), "good") << bad.what;
    EXPECT_TRUE(input.ended) << bad.what;
    ASSERT_TRUE(input.failure) << bad.what;
    EXPECT_EQ(*input.failure, bad.alert) << bad.what;
    EXPECT_FALSE(input.why.empty()) << bad.what;
  }
}

TEST_F(TlsRecordsTest, RefuseBytesThatAreNoRecords) {
  const struct {
    std::string bytes;
    TlsAlert alert;
  } cases[] = {
      {"\x15\3\3\0\2\1\0"s, TlsAlert::UnexpectedMessage},  // An alert in the clear.
      {"\x14\3\3\0\1\1"s, TlsAlert::UnexpectedMessage},
      {"\x17\3\3\x41\1"s, TlsAlert::RecordOverflow},  // Before its bytes are there.
      {"\x17\3\3\0\x10"s, TlsAlert::DecodeError},
      {"\x17\3\3\0\x11"s + std::string(17, 'x'), TlsAlert::BadRecordMac},
  };
  for (const auto& bad : cases) {
    TlsRecords fresh(keys_of(kAnySuite, 1), keys_of(kAnySuite, 2));
    std::string bytes = bad.bytes;
    const auto input = fresh.open(bytes);
    EXPECT_TRUE(input.ended);
    ASSERT_TRUE(input.failure);
    EXPECT_EQ(*input.failure, bad.alert);
  }
}

TEST_F(TlsRecordsTest, RefuseDataWithinAHandshakeMessage) {
  const auto input = open(sealed({"\x18\0\x16"sv, "x\x17"}));
  EXPECT_EQ(input.failure, TlsAlert::UnexpectedMessage);
  EXPECT_EQ(text, "");
}

TEST_F(TlsRecordsTest, BearFewRecordsWithoutData) {
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 32; ++i) EXPECT_FALSE(open(sealed("\x17")).ended);
    EXPECT_FALSE(open(sealed("x\x17")).ended);
  }
  for (int i = 0; i < 32; ++i) {
    EXPECT_FALSE(open(sealed(kUpdate)).ended);
    client.update();
  }
  EXPECT_EQ(open(sealed(kUpdate)).failure, TlsAlert::UnexpectedMessage);
}

TEST_F(TlsRecordsTest, SayAlerts) {
  EXPECT_EQ(open_record(server, records.alert(TlsAlert::BadRecordMac)), "\2\x14\x15");
  EXPECT_EQ(open_record(server, records.alert(TlsAlert::CloseNotify)), "\1\0\x15"s);
}

TEST_F(TlsRecordsTest, ChangeTheirKeysInTime) {
  const std::vector<unsigned char> secret(32, 2);
  TlsRecords old(client, *TrafficKeys::make(kAnySuite, secret, (1U << 23) - 1));
  std::string record(old.overhead() + 1, 'x');
  EXPECT_FALSE(old.owes_key_update());
  EXPECT_TRUE(old.seal(record));
  EXPECT_TRUE(old.owes_key_update());
  EXPECT_FALSE(old.update_keys().empty());
  EXPECT_FALSE(old.owes_key_update());
}

}  // namespace
}  // namespace parley::net
