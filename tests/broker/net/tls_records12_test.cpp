#include <gtest/gtest.h>

#include "broker/net/tls_records.hpp"
#include "tests/broker/net/tls_rig.hpp"

/// TlsRecords as TLS 1.2 has them.
namespace parley::net {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

constexpr std::array kAeads{Aead::Aes128Gcm, Aead::Aes256Gcm, Aead::ChaCha20Poly1305};

/// A server's records, and the client's keys, as they are after a Finished each way.
struct Ends {
  explicit Ends(Aead aead) : client(keys12_of(aead, 1)), server(keys12_of(aead, 2)) {}
  TlsRecords::Input open(std::string bytes) {
    const auto input = records.open(bytes);
    text.append(bytes.data(), input.text);
    return input;
  }
  std::string seal_text(std::string_view data) {
    std::string record(data.size() + records.overhead(), '\0');
    std::ranges::copy(data, record.begin() + static_cast<std::ptrdiff_t>(records.text_offset()));
    EXPECT_TRUE(records.seal(record));
    return record;
  }

  TrafficKeys client;
  TrafficKeys server;
  TlsRecords records{client, server};
  std::string text;
};

TEST(TlsRecords12, CarryData) {
  for (const Aead aead : kAeads) {
    Ends ends(aead);
    const std::string stream = seal_records(ends.client, {"one\x17", "two\x17", "\x17", "three\x17"});
    const auto input = ends.open(stream);
    EXPECT_EQ(ends.text, "onetwothree");
    EXPECT_EQ(input.taken, stream.size());
    EXPECT_FALSE(input.ended);
    EXPECT_EQ(open_record(ends.server, ends.seal_text("four")), "four\x17");
    const std::string longest(TlsRecords::kTextMax, 'x');
    EXPECT_EQ(open_record(ends.server, ends.seal_text(longest)), longest + '\x17');
    EXPECT_FALSE(ends.open(seal_record(ends.client, longest + '\x17')).ended);
  }
}

TEST(TlsRecords12, HaveTheShapeOfTheirSuite) {
  // RFC 5288 §3: eight bytes of nonce, here the record's number, before the text. RFC 7905 §2: none.
  Ends gcm(Aead::Aes256Gcm);
  EXPECT_EQ(gcm.seal_text("text").substr(0, 13), "\x17\3\3\0\x1C\0\0\0\0\0\0\0\1"s);
  EXPECT_EQ(gcm.seal_text("text").substr(0, 13), "\x17\3\3\0\x1C\0\0\0\0\0\0\0\2"s);
  Ends chacha(Aead::ChaCha20Poly1305);
  EXPECT_EQ(chacha.seal_text("text").substr(0, 5), "\x17\3\3\0\x14"s);
  EXPECT_EQ(chacha.seal_text("text").size(), 5U + 4U + 16U);
}

TEST(TlsRecords12, TakeAnyNonceThatTheClientChose) {
  for (const std::uint64_t first : {0ULL, 77ULL, ~0ULL}) {
    // The client counts as it likes; what is covered is the true number. RFC 5246 §6.2.3.3.
    const std::vector<unsigned char> key(16, 1);
    const std::vector<unsigned char> salt(4, 1);
    TrafficKeys keys = *TrafficKeys::make_tls12(Aead::Aes128Gcm, key, salt, first);
    TlsRecords records(*TrafficKeys::make_tls12(Aead::Aes128Gcm, key, salt, first), keys12_of(Aead::Aes128Gcm, 2));
    std::string record = seal_record(keys, "text\x17");
    EXPECT_FALSE(records.open(record).ended);
  }
}

TEST(TlsRecords12, WaitForTheWholeRecord) {
  for (const Aead aead : kAeads) {
    Ends ends(aead);
    const std::string record = seal_record(ends.client, "text\x17");
    for (std::size_t size = 0; size < record.size(); ++size) {
      const auto input = ends.open(record.substr(0, size));
      EXPECT_EQ(input.taken, 0U) << size;
      EXPECT_FALSE(input.ended) << size;
    }
    EXPECT_EQ(ends.open(record).taken, record.size());
    EXPECT_EQ(ends.text, "text");
  }
}

TEST(TlsRecords12, OpenNothingThatWasTouchedMovedOrRepeated) {
  for (const Aead aead : kAeads) {
    auto keys = keys12_of(aead, 1);
    const std::string first = seal_record(keys, "first\x17");
    const std::string second = seal_record(keys, "second\x17");
    for (std::size_t i = 0; i < first.size(); ++i) {
      for (const int bit : {1, 128}) {
        Ends ends(aead);
        std::string touched = first + second;
        touched[i] = static_cast<char>(touched[i] ^ bit);
        (void)ends.open(touched + std::string(70'000, 'x'));  // Whatever length it claims now is there.
        EXPECT_EQ(ends.text, "") << i;
      }
    }
    for (const std::string& stream : {second, first + first, second + first}) {
      Ends ends(aead);
      const auto input = ends.open(stream);
      EXPECT_EQ(input.failure, TlsAlert::BadRecordMac);
      EXPECT_TRUE(ends.text.empty() || ends.text == "first");
    }
  }
}

TEST(TlsRecords12, EndWithAnAlert) {
  for (const auto alert : {"\1\0\x15"sv, "\2\0\x15"sv, "\2\x28\x15"sv, "\2\x5A\x15"sv}) {
    Ends ends(Aead::Aes128Gcm);
    const auto input = ends.open(seal_records(ends.client, {"last\x17", alert, "behind\x17"}));
    EXPECT_EQ(ends.text, "last");
    EXPECT_TRUE(input.ended);
    EXPECT_FALSE(input.failure);
  }
  Ends ends(Aead::Aes128Gcm);  // Warnings: user_canceled, no_renegotiation.
  EXPECT_FALSE(ends.open(seal_records(ends.client, {"\1\x5A\x15"sv, "\1\x64\x15"sv, "more\x17"})).ended);
  EXPECT_EQ(ends.text, "more");
}

TEST(TlsRecords12, RefuseWhatBreaksTheRules) {
  const std::string longest(TlsRecords::kTextMax, 'x');
  const struct {
    const char* what;
    std::string inner;
    TlsAlert alert;
  } cases[] = {
      {"an unknown type", "x\x18"s, TlsAlert::UnexpectedMessage},
      {"type 0", "x\0"s, TlsAlert::UnexpectedMessage},
      {"ChangeCipherSpec", "\1\x14"s, TlsAlert::UnexpectedMessage},
      {"too long by one", longest + "x\x17", TlsAlert::RecordOverflow},
      {"an alert cut off", "\1\x15"s, TlsAlert::DecodeError},
      {"two alerts", "\1\0\1\0\x15"s, TlsAlert::DecodeError},
      {"an empty alert", "\x15"s, TlsAlert::DecodeError},
      {"an alert of no level", "\3\0\x15"s, TlsAlert::IllegalParameter},
      {"an empty handshake message", "\x16"s, TlsAlert::UnexpectedMessage},
      {"ClientHello", "\1\0\0\1\0\x16"s, TlsAlert::NoRenegotiation},
      {"the beginning of one", "\1\x16"s, TlsAlert::NoRenegotiation},
      {"Finished", "\x14\0\0\x0C"s + std::string(12, 'x') + '\x16', TlsAlert::UnexpectedMessage},
      {"KeyUpdate", "\x18\0\0\1\0\x16"s, TlsAlert::UnexpectedMessage},
  };
  for (const auto& bad : cases) {
    Ends ends(Aead::ChaCha20Poly1305);
    const auto input = ends.open(seal_records(ends.client, {"good\x17", bad.inner, "late\x17"}));
    EXPECT_EQ(ends.text, "good") << bad.what;
    EXPECT_TRUE(input.ended) << bad.what;
    ASSERT_TRUE(input.failure) << bad.what;
    EXPECT_EQ(*input.failure, bad.alert) << bad.what;
    EXPECT_FALSE(input.why.empty()) << bad.what;
  }
}

TEST(TlsRecords12, RefuseBytesThatAreNoRecords) {
  const struct {
    std::string bytes;
    TlsAlert alert;
  } cases[] = {
      {"\x17\3\1\0\x20"s, TlsAlert::ProtocolVersion},
      {"\x17\3\4\0\x20"s, TlsAlert::ProtocolVersion},
      {"GET /"s, TlsAlert::ProtocolVersion},
      {"\x17\3\3\x41\1"s, TlsAlert::RecordOverflow},  // Before its bytes are there.
      {"\x17\3\3\0\x17"s, TlsAlert::DecodeError},
      {"\x17\3\3\0\x18"s + std::string(24, 'x'), TlsAlert::BadRecordMac},
      {"\x15\3\3\0\2\1\0"s, TlsAlert::DecodeError},  // An alert in the clear.
  };
  for (const auto& bad : cases) {
    const auto input = Ends(Aead::Aes128Gcm).open(bad.bytes);
    EXPECT_TRUE(input.ended);
    ASSERT_TRUE(input.failure);
    EXPECT_EQ(*input.failure, bad.alert);
  }
}

TEST(TlsRecords12, BearFewRecordsWithoutData) {
  Ends ends(Aead::Aes128Gcm);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 32; ++i) EXPECT_FALSE(ends.open(seal_record(ends.client, "\x17")).ended);
    EXPECT_FALSE(ends.open(seal_record(ends.client, "x\x17")).ended);
  }
  for (int i = 0; i < 32; ++i) EXPECT_FALSE(ends.open(seal_record(ends.client, "\1\x64\x15")).ended);
  EXPECT_EQ(ends.open(seal_record(ends.client, "\1\x64\x15")).failure, TlsAlert::UnexpectedMessage);
}

TEST(TlsRecords12, SayAlerts) {
  for (const Aead aead : kAeads) {
    Ends ends(aead);
    EXPECT_EQ(open_record(ends.server, ends.records.alert(TlsAlert::BadRecordMac)), "\2\x14\x15");
    EXPECT_EQ(open_record(ends.server, ends.records.alert(TlsAlert::NoRenegotiation)), "\1\x64\x15");
    EXPECT_EQ(open_record(ends.server, ends.records.alert(TlsAlert::CloseNotify)), "\1\0\x15"s);
  }
}

TEST(TlsRecords12, NeverOweAKeyUpdate) {
  TlsRecords old(keys12_of(Aead::Aes128Gcm, 1), keys12_of(Aead::Aes128Gcm, 2, 1U << 25));
  std::string record(old.overhead() + 1, 'x');
  EXPECT_TRUE(old.seal(record));
  EXPECT_FALSE(old.owes_key_update());
}

}  // namespace
}  // namespace parley::net
