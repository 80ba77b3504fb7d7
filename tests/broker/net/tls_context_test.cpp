#include "broker/net/tls_context.hpp"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "broker/net/listener_profile.hpp"
#include "broker/net/socket.hpp"
#include "broker/net/tls_stream.hpp"
#include "config/error.hpp"
#include "tests/broker/net/certificates.hpp"
#include "tests/broker/net/tls_client.hpp"

namespace parley::net {
namespace {

class TlsContextTest : public testing::Test {
 protected:
  TlsContextTest() { authority.make("server"); }
  void use(const std::string& name) {
    listener.certificates.push_back({.chain = authority.file(name + ".crt"), .key = authority.file(name + ".key")});
  }
  void ask_for_certificates(const char* how) {
    listener.client_certificate = how;
    listener.client_ca = authority.file("ca.crt");
    listener.client_crl = authority.file("ca.crl");
  }
  TlsSpeech with_certificate(const std::string& name) {
    return {.chain = authority.file(name + ".crt"), .key = authority.file(name + ".key")};
  }
  void load() { contexts = std::make_unique<TlsContexts>(listener); }

  /// Why it failed; empty when it didn't, and then both can talk.
  std::string connect(const TlsSpeech& speech, SSL_SESSION* session = nullptr) {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), 0);
    stream.reset();
    client.reset();
    ours = Descriptor(pair[0]);
    theirs = Descriptor(pair[1]);
    stream = std::make_unique<TlsStream>(contexts->current(), ours.number());
    client = std::make_unique<TlsClient>(theirs.number(), speech);
    if (session != nullptr) ::SSL_set_session(client->ssl(), session);
    std::string why;
    auto outcome = TlsStream::Handshake::WantsRead;
    for (int i = 0; i < 20 && outcome != TlsStream::Handshake::Finished; ++i) {
      client->shake_hands();
      outcome = stream->shake_hands(why);
      if (outcome == TlsStream::Handshake::Failed) return why;
    }
    EXPECT_EQ(outcome, TlsStream::Handshake::Finished);
    client->shake_hands();
    client->hear();  // The ticket.
    return {};
  }
  /// Whether a session that was begun before is taken up again now.
  bool resumes(SSL_SESSION* session, const TlsSpeech& speech) {
    EXPECT_EQ(connect(speech, session), "");
    EXPECT_EQ(stream->resumed(), ::SSL_session_reused(client->ssl()) == 1);
    return stream->resumed();
  }

  Authority authority;
  config::Listener listener = config::read_listener_url("listener.url", "tls://127.0.0.1:0");
  std::unique_ptr<TlsContexts> contexts;
  Descriptor ours;
  Descriptor theirs;
  std::unique_ptr<TlsStream> stream;
  std::unique_ptr<TlsClient> client;
};

using SessionPtr = std::unique_ptr<SSL_SESSION, decltype([](SSL_SESSION* session) { ::SSL_SESSION_free(session); })>;

TEST_F(TlsContextTest, NamesTheUserAsTheListenerSays) {
  authority.make("client", {.common_names = {"alice"},
                            .alternative_names = "DNS:device.example,DNS:other,email:a@example.org,URI:urn:x:7"});
  use("server");
  ask_for_certificates("required");
  const std::pair<const char*, const char*> kinds[] = {
      {"cn", "alice"}, {"dns", "device.example"}, {"email", "a@example.org"}, {"uri", "urn:x:7"}};
  for (const auto& [kind, user] : kinds) {
    listener.certificate_user = kind;
    load();
    EXPECT_EQ(connect(with_certificate("client")), "");
    EXPECT_EQ(stream->certificate_user(), user) << kind;
  }
}

TEST_F(TlsContextTest, GuessesNoUser) {
  authority.make("two", {.common_names = {"alice", "bob"}});
  authority.make("none", {.common_names = {}, .alternative_names = "DNS:x"});
  authority.make("plain", {.common_names = {"alice"}});
  use("server");
  ask_for_certificates("required");
  const std::pair<const char*, const char*> cases[] = {{"two", "cn"}, {"none", "cn"}, {"plain", "dns"}};
  for (const auto& [name, kind] : cases) {
    listener.certificate_user = kind;
    load();
    EXPECT_EQ(connect(with_certificate(name)), "");
    EXPECT_EQ(stream->certificate_user(), "") << name;
  }
}

TEST_F(TlsContextTest, TakesNoCertificateWhereItIsOptional) {
  authority.make("alice", {.common_names = {"alice"}});
  authority.make("late", {.days = -1});
  Authority stranger;
  stranger.make("alice", {.common_names = {"alice"}});
  use("server");
  ask_for_certificates("optional");
  load();
  EXPECT_EQ(connect({}), "");
  EXPECT_EQ(stream->certificate_user(), "");
  EXPECT_EQ(connect(with_certificate("alice")), "");
  EXPECT_EQ(stream->certificate_user(), "alice");
  // One that is shown must be good all the same.
  EXPECT_EQ(connect(with_certificate("late")), "certificate has expired");
  EXPECT_NE(connect({.chain = stranger.file("alice.crt"), .key = stranger.file("alice.key")}), "");
}

TEST_F(TlsContextTest, FindsCertificatesInADirectory) {
  std::filesystem::create_directory(authority.file("served"));
  authority.make("served/a", {.common_names = {"first"}, .alternative_names = "DNS:a.example"});
  authority.make("served/b", {.common_names = {"second"}, .alternative_names = "DNS:b.example,DNS:*.c.example"});
  listener.certificate_directory = authority.file("served");
  load();
  const std::pair<const char*, const char*> cases[] = {{"a.example", "first"},
                                                       {"b.example", "second"},
                                                       {"x.c.example", "second"},
                                                       {"x.y.c.example", "first"},
                                                       {"", "first"}};
  for (const auto& [asked, got] : cases) {
    EXPECT_EQ(connect({.name = asked}), "");
    EXPECT_EQ(client->server_name(), got) << asked;
  }
  authority.make("served/d", {.common_names = {"third"}, .alternative_names = "DNS:d.example"});
  contexts->reload();
  EXPECT_EQ(connect({.name = "d.example"}), "");
  EXPECT_EQ(client->server_name(), "third");
}

TEST_F(TlsContextTest, RefusesADirectoryWithoutCertificatesOrKeys) {
  std::filesystem::create_directory(authority.file("served"));
  listener.certificate_directory = authority.file("served");
  EXPECT_THROW(load(), config::ConfigError);
  authority.make("served/a");
  std::filesystem::remove(authority.file("served/a.key"));
  EXPECT_THROW(load(), config::ConfigError);
}

TEST_F(TlsContextTest, KeepsTheOldOnesWhenTheNewAreBroken) {
  use("server");
  ask_for_certificates("optional");
  load();
  for (const char* name : {"server.crt", "server.key", "ca.crt", "ca.crl"}) {
    const std::string file = authority.file(name);
    std::filesystem::copy_file(file, file + ".good");
    for (const char* content : {"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}) {
      std::ofstream(file) << content;
      EXPECT_THROW(contexts->reload(), config::ConfigError) << name;
      EXPECT_EQ(connect({}), "") << name;
    }
    std::filesystem::remove(file);
    EXPECT_THROW(contexts->reload(), config::ConfigError) << name;
    std::filesystem::rename(file + ".good", file);
  }
  authority.make("other");
  std::filesystem::copy_file(authority.file("other.key"), authority.file("server.key"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THROW(contexts->reload(), config::ConfigError) << "the key is another's";
  EXPECT_EQ(connect({}), "");
}

TEST_F(TlsContextTest, KnowsWhatWasRevokedAfterAReload) {
  authority.make("alice", {.common_names = {"alice"}});
  use("server");
  ask_for_certificates("required");
  load();
  EXPECT_EQ(connect(with_certificate("alice")), "");
  authority.revoke("alice");
  EXPECT_EQ(connect(with_certificate("alice")), "");
  contexts->reload();
  EXPECT_EQ(connect(with_certificate("alice")), "certificate revoked");
}

TEST_F(TlsContextTest, ResumesSessionsAcrossAReload) {
  use("server");
  load();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    EXPECT_EQ(connect({.version = version}), "");
    const SessionPtr session(::SSL_get1_session(client->ssl()));
    authority.make("server", {.common_names = {"renewed"}});
    contexts->reload();
    EXPECT_TRUE(resumes(session.get(), {.version = version})) << version;
    EXPECT_EQ(connect({.version = version}), "");
    EXPECT_EQ(client->server_name(), "renewed");
  }
}

TEST_F(TlsContextTest, ResumesNothingAcrossAReloadThatMayHaveRevoked) {
  authority.make("alice", {.common_names = {"alice"}});
  use("server");
  ask_for_certificates("required");
  load();
  const auto speech = with_certificate("alice");
  EXPECT_EQ(connect(speech), "");
  const SessionPtr session(::SSL_get1_session(client->ssl()));
  EXPECT_TRUE(resumes(session.get(), speech));
  EXPECT_EQ(stream->certificate_user(), "alice") << "a resumed session has its user";
  const SessionPtr next(::SSL_get1_session(client->ssl()));
  contexts->reload();
  EXPECT_FALSE(resumes(next.get(), speech));
}

TEST_F(TlsContextTest, ResumesNoSessionOfAnotherListener) {
  use("server");
  load();
  EXPECT_EQ(connect({}), "");
  const SessionPtr session(::SSL_get1_session(client->ssl()));
  listener = config::read_listener_url("listener.url", "tls://127.0.0.2:0");
  use("server");
  load();
  EXPECT_FALSE(resumes(session.get(), {}));
}

TEST_F(TlsContextTest, RefusesOlderVersions) {
  use("server");
  load();
  EXPECT_NE(connect({.version = TLS1_1_VERSION}), "");
  EXPECT_EQ(connect({.version = TLS1_2_VERSION}), "");
  listener.tls_min = "1.3";
  load();
  EXPECT_NE(connect({.version = TLS1_2_VERSION}), "");
  EXPECT_EQ(connect({}), "");
}

}  // namespace
}  // namespace parley::net
