#include "broker/net/tls_stream.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "broker/net/socket.hpp"
#include "tests/broker/net/certificates.hpp"
#include "tests/broker/net/tls_client.hpp"

namespace parley::net {
namespace {

class TlsStreamTest : public testing::Test {
 protected:
  TlsStreamTest() {
    authority.make("server");
    listener.certificates = {{.chain = authority.file("server.crt"), .key = authority.file("server.key")}};
    context = TlsContext::load(listener, nullptr);
  }
  void connect(const TlsSpeech& speech, SSL_SESSION* session = nullptr) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), 0);
    stream.reset();
    client.reset();
    ours = Descriptor(pair[0]);
    theirs = Descriptor(pair[1]);
    stream = std::make_unique<TlsStream>(context, ours.number());
    client = std::make_unique<TlsClient>(theirs.number(), speech);
    if (session != nullptr) ::SSL_set_session(client->ssl(), session);
    bool client_done = false;
    auto outcome = TlsStream::Handshake::WantsRead;
    std::string why;
    for (int i = 0; i < 20 && (!client_done || outcome != TlsStream::Handshake::Finished); ++i) {
      client_done = client->shake_hands();
      if (outcome != TlsStream::Handshake::Finished) outcome = stream->shake_hands(why);
      ASSERT_NE(outcome, TlsStream::Handshake::Failed) << why;
    }
    ASSERT_TRUE(client_done);
    ASSERT_EQ(outcome, TlsStream::Handshake::Finished);
  }
  std::string read() {
    const IoResult got = stream->read(buffer);
    ended = got.status == IoResult::Status::Ended;
    return {buffer.data(), got.size};
  }
  /// As the connection loop does: until it is blocked.
  std::size_t write(std::string_view text) {
    std::size_t written = 0;
    while (written < text.size()) {
      std::array<iovec, 1> piece{
          {{.iov_base = const_cast<char*>(text.data()) + written, .iov_len = text.size() - written}}};
      const IoResult result = stream->write(piece);
      written += result.size;
      if (result.status != IoResult::Status::Done) break;
    }
    return written;
  }
  void expect_exchange(int round) {
    const std::string question = "question " + std::to_string(round);
    ASSERT_EQ(client->say(question), question.size());
    ASSERT_EQ(read(), question);
    ASSERT_EQ(write("answer " + std::to_string(round)), std::string("answer ").size() + std::to_string(round).size());
    ASSERT_EQ(client->hear(), "answer " + std::to_string(round));
  }

  Authority authority;
  config::Listener listener = config::read_listener_url("listener.url", "tls://127.0.0.1:0");
  std::shared_ptr<const TlsContext> context;
  Descriptor ours;
  Descriptor theirs;
  std::unique_ptr<TlsStream> stream;
  std::unique_ptr<TlsClient> client;
  std::array<char, 65'536> buffer{};
  bool ended = false;
};

/// Where OpenSSL's object goes after the handshake.
const TlsSpeech kLightSpeeches[] = {
    {.suites = "TLS_AES_128_GCM_SHA256"},
    {.suites = "TLS_AES_256_GCM_SHA384"},
    {.suites = "TLS_CHACHA20_POLY1305_SHA256"},
    {.version = TLS1_2_VERSION},
    {.version = TLS1_2_VERSION, .suites12 = "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {.version = TLS1_2_VERSION, .suites12 = "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {.version = TLS1_2_VERSION, .suites12 = "ECDHE-ECDSA-CHACHA20-POLY1305"},
};

/// And where it stays.
const TlsSpeech kHeavySpeeches[] = {
    {.fragment = TLSEXT_max_fragment_length_512},
    {.version = TLS1_2_VERSION, .fragment = TLSEXT_max_fragment_length_512},
};

std::vector<TlsSpeech> all_speeches() {
  std::vector<TlsSpeech> all(std::begin(kLightSpeeches), std::end(kLightSpeeches));
  all.insert(all.end(), std::begin(kHeavySpeeches), std::end(kHeavySpeeches));
  return all;
}

const TlsSpeech kTls12{.version = TLS1_2_VERSION};

TEST_F(TlsStreamTest, ExchangesWithOpenSsl) {
  for (const TlsSpeech& speech : all_speeches()) {
    connect(speech);
    for (int i = 0; i < 5; ++i) expect_exchange(i);
    stream->say_goodbye();
    EXPECT_EQ(client->hear(), "");
    EXPECT_EQ(client->error(), SSL_ERROR_ZERO_RETURN);
  }
}

TEST_F(TlsStreamTest, LosesNothingOfWhatIsLong) {
  std::string text;
  for (int i = 0; text.size() < 3'000'000; ++i) text += std::to_string(i);
  for (const TlsSpeech& speech : all_speeches()) {
    connect(speech);
    std::string heard;
    std::size_t written = 0;
    while (heard.size() < text.size()) {
      written += write(std::string_view(text).substr(written));
      ASSERT_NE(stream->flush(), IoResult::Status::Ended);
      const auto part = client->hear();
      ASSERT_FALSE(part.empty() && client->error() != SSL_ERROR_WANT_READ);
      heard += part;
    }
    EXPECT_TRUE(heard == text);
    heard.clear();
    std::size_t said = 0;
    while (heard.size() < text.size()) {
      if (said < text.size()) said += client->say(std::string_view(text).substr(said, 100'000));
      heard += read();
      ASSERT_FALSE(ended);
    }
    EXPECT_TRUE(heard == text);
  }
}

TEST_F(TlsStreamTest, TakesBytesOneByOne) {
  for (const TlsSpeech& speech : kLightSpeeches) {
    connect(speech);
    // Between the client and us is somebody who passes on one byte at a time.
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), 0);
    const Descriptor near(pair[0]);
    const Descriptor far(pair[1]);
    ::SSL_set_fd(client->ssl(), near.number());
    ASSERT_EQ(client->say("hello"), 5U);
    if (speech.version == 0) ::SSL_key_update(client->ssl(), SSL_KEY_UPDATE_NOT_REQUESTED);
    ASSERT_EQ(client->say("again"), 5U);
    std::string heard;
    char byte = 0;
    while (::read(far.number(), &byte, 1) == 1) {
      ASSERT_EQ(::write(theirs.number(), &byte, 1), 1);
      heard += read();
    }
    EXPECT_EQ(heard, "helloagain");
  }
}

TEST_F(TlsStreamTest, ChangesKeysAsOftenAsTheClientWants) {
  for (const TlsSpeech& speech : std::span(kLightSpeeches).first(3)) {
    connect(speech);
    for (int i = 0; i < 50; ++i) {
      ASSERT_EQ(::SSL_key_update(client->ssl(), i % 3 == 0 ? SSL_KEY_UPDATE_NOT_REQUESTED : SSL_KEY_UPDATE_REQUESTED),
                1);
      expect_exchange(i);
    }
  }
}

TEST_F(TlsStreamTest, AnswersAKeyUpdateThatComesWithoutData) {
  connect({});
  ASSERT_EQ(::SSL_key_update(client->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
  ASSERT_TRUE(client->shake_hands());  // Which sends it.
  EXPECT_EQ(read(), "");
  EXPECT_TRUE(stream->has_to_flush());
  EXPECT_EQ(stream->flush(), IoResult::Status::Done);
  EXPECT_FALSE(stream->has_to_flush());
  expect_exchange(1);
}

TEST_F(TlsStreamTest, ChangesKeysWhileTheSocketIsFull) {
  connect({});
  const std::string text(1'000'000, 'x');
  std::size_t written = write(text);
  ASSERT_LT(written, text.size());
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(::SSL_key_update(client->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_EQ(client->say("x"), 1U);
    EXPECT_EQ(read(), "x");
  }
  std::size_t heard = 0;
  while (heard < text.size()) {
    const auto part = client->hear();
    ASSERT_FALSE(part.empty());
    heard += part.size();
    written += write(std::string_view(text).substr(written));
  }
  expect_exchange(1);
}

TEST_F(TlsStreamTest, ResumesSessions) {
  for (const TlsSpeech& speech : all_speeches()) {
    connect(speech);
    expect_exchange(0);
    SSL_SESSION* session = ::SSL_get1_session(client->ssl());
    for (int i = 1; i < 4; ++i) {
      connect(speech, session);
      EXPECT_EQ(::SSL_session_reused(client->ssl()), 1);
      expect_exchange(i);
      ::SSL_SESSION_free(session);
      session = ::SSL_get1_session(client->ssl());
    }
    ::SSL_SESSION_free(session);
  }
}

TEST_F(TlsStreamTest, EndsWhenTheClientDoes) {
  for (const TlsSpeech& speech : {TlsSpeech{}, kTls12}) {
    connect(speech);
    ASSERT_EQ(client->say("last"), 4U);
    ::SSL_shutdown(client->ssl());
    EXPECT_EQ(read(), "last");
    EXPECT_TRUE(ended);
    EXPECT_EQ(stream->failure(), "");
    EXPECT_EQ(write("you, too"), 8U);  // Our direction is still open.
    EXPECT_EQ(client->hear(), "you, too");
    stream->say_goodbye();
    EXPECT_EQ(client->hear(), "");
    EXPECT_EQ(client->error(), SSL_ERROR_ZERO_RETURN);
  }
}

TEST_F(TlsStreamTest, TellsTheClientWhatIsWrong) {
  for (const TlsSpeech& speech : kLightSpeeches) {
    connect(speech);
    const std::string forged = "\x17\3\3" + std::string("\0\x20", 2) + std::string(32, 'x');
    ASSERT_EQ(::write(theirs.number(), forged.data(), forged.size()), static_cast<ssize_t>(forged.size()));
    EXPECT_EQ(read(), "");
    EXPECT_TRUE(ended);
    EXPECT_EQ(stream->failure(), "a TLS record was tampered with");
    EXPECT_EQ(write("nothing more"), 12U);  // It is thrown away.
    stream->say_goodbye();
    ::ERR_clear_error();
    EXPECT_EQ(client->hear(), "");
    EXPECT_EQ(client->error(), SSL_ERROR_SSL);
    EXPECT_EQ(ERR_GET_REASON(::ERR_peek_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    ::ERR_clear_error();
  }
}

TEST_F(TlsStreamTest, DoesNotRenegotiate) {
  connect(kTls12);
  expect_exchange(1);
  ASSERT_EQ(::SSL_renegotiate(client->ssl()), 1);
  EXPECT_FALSE(client->shake_hands());
  EXPECT_EQ(read(), "");
  EXPECT_TRUE(ended);
  EXPECT_EQ(stream->failure(), "a client wants to renegotiate");
  EXPECT_EQ(stream->flush(), IoResult::Status::Done);
  ::ERR_clear_error();
  EXPECT_FALSE(client->shake_hands());
  EXPECT_EQ(ERR_GET_REASON(::ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
  ::ERR_clear_error();
}

TEST_F(TlsStreamTest, TakesWhatCameRightBehindTheHandshake) {
  connect(kTls12);
  SSL_SESSION* session = ::SSL_get1_session(client->ssl());
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), 0);
  ours = Descriptor(pair[0]);
  theirs = Descriptor(pair[1]);
  stream = std::make_unique<TlsStream>(context, ours.number());
  client = std::make_unique<TlsClient>(theirs.number(), kTls12);
  ::SSL_set_session(client->ssl(), session);
  ::SSL_SESSION_free(session);
  std::string why;
  EXPECT_FALSE(client->shake_hands());
  EXPECT_EQ(stream->shake_hands(why), TlsStream::Handshake::WantsRead);
  ASSERT_TRUE(client->shake_hands());  // A resumed client speaks last, and needn't wait.
  ASSERT_EQ(client->say("early"), 5U);
  ASSERT_EQ(client->say("bird"), 4U);
  ASSERT_EQ(stream->shake_hands(why), TlsStream::Handshake::Finished);
  EXPECT_EQ(read(), "earlybird");
  expect_exchange(1);
}

}  // namespace
}  // namespace parley::net
