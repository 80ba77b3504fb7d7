#include "broker/login/login_service.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "broker/auth/password_hash.hpp"
#include "broker/auth/token.hpp"
#include "tests/broker/auth/scram_client.hpp"
#include "tests/broker/login/files.hpp"

namespace parley::login {
namespace {

using namespace std::chrono_literals;
using mqtt::ReasonCode;
using shard::LoginAnswer;
using Verdict = LoginAnswer::Verdict;

class Answers final : public LoginAnswers {
 public:
  void post(shard::ShardId shard, shard::ConnectionId connection, LoginAnswer answer) override {
    EXPECT_EQ(shard, 3U);
    EXPECT_EQ(connection.place, 7U);
    const std::lock_guard lock(mutex_);
    answers_.push_back(std::move(answer));
    came_.notify_all();
  }
  LoginAnswer take() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(came_.wait_for(lock, 20s, [this] { return !answers_.empty(); }));
    if (answers_.empty()) return {};
    auto answer = std::move(answers_.front());
    answers_.pop_front();
    return answer;
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<LoginAnswer> answers_;
};

const std::string kSecret =
    R"({"kty":"oct","kid":"k","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTw"})";

class Logins : public testing::Test {
 protected:
  void SetUp() override {
    const auto hash = *auth::hash_password("secret", "0123456789abcdef", {.memory_kib = 64, .passes = 1});
    const auto scram = auth::write_scram_verifier(auth::make_scram_verifier("secret", "0123456789abcdef", 4096));
    options_.users_file =
        files_.write("users", auth::write_user("ann", {hash, scram}) + auth::write_user("scram", {"", scram}));
    options_.keys_file = files_.write("keys", kSecret);
  }

  LoginService& service() {
    if (!service_) service_ = std::make_unique<LoginService>(options_, answers_);
    return *service_;
  }

  LoginAnswer ask(shard::LoginRequest request) {
    request.connection = {.place = 7, .generation = 1};
    auto answer = service().authenticate(3, std::move(request));
    return answer ? *std::move(answer) : answers_.take();
  }

  static shard::LoginRequest with(std::optional<std::string> user, std::optional<std::string> password,
                                  bool anonymous = false) {
    shard::LoginRequest request;
    request.client_id = "c1";
    request.user_name = std::move(user);
    request.password = std::move(password);
    request.from.allow_anonymous = anonymous;
    return request;
  }

  static shard::LoginRequest with_method(std::string method, std::string data,
                                         std::shared_ptr<shard::LoginExchange> exchange = nullptr) {
    auto request = with(std::nullopt, std::nullopt);
    request.method = std::move(method);
    request.data = std::move(data);
    request.exchange = std::move(exchange);
    return request;
  }

  static std::string token(const std::string& user, std::int64_t lifetime) {
    const auto keys = std::get<auth::KeySet>(auth::KeySet::read(kSecret));
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
    return *auth::make_token(R"({"sub":")" + user + R"(","exp":)" + std::to_string(now.count() + lifetime) + "}",
                             keys.keys()[0]);
  }

  Files files_;
  LoginOptions options_;
  Answers answers_;
  std::unique_ptr<LoginService> service_;
};

TEST_F(Logins, ByPassword) {
  EXPECT_EQ(ask(with("ann", "secret")).user, "ann");
  for (const auto& [user, password] :
       {std::pair{"ann", "Secret"}, {"ann", ""}, {"bob", "secret"}, {"", "secret"}, {"scram", "secret"}}) {
    const auto answer = ask(with(user, password));
    EXPECT_EQ(answer.verdict, Verdict::Refused) << user;
    EXPECT_EQ(answer.reason, ReasonCode::BadUserNameOrPassword) << user;
    EXPECT_EQ(answer.why, "User name or password is wrong.") << "which of them it doesn't say";
  }
  EXPECT_EQ(service().counters().granted, 1U);
  EXPECT_EQ(service().counters().refused, 5U);
  EXPECT_EQ(service().counters().hashes, 6U) << "who isn't there costs as much";
}

TEST_F(Logins, ByTokenInThePassword) {
  const auto answer = ask(with(std::nullopt, token("bob", 600)));
  EXPECT_EQ(answer.user, "bob");
  EXPECT_TRUE(answer.expires);
  EXPECT_EQ(ask(with("bob", token("bob", 600))).user, "bob");
  EXPECT_EQ(ask(with("", token("bob", 600))).user, "bob");
  EXPECT_EQ(ask(with("ann", token("bob", 600))).reason, ReasonCode::BadUserNameOrPassword);
  EXPECT_EQ(ask(with("bob", token("bob", -600))).reason, ReasonCode::BadUserNameOrPassword);
  EXPECT_EQ(ask(with("bob", token("bob", -600))).why, "The token has expired.");
}

TEST_F(Logins, ByTokenAsAMethod) {
  EXPECT_EQ(ask(with_method("JWT", token("bob", 600))).user, "bob");
  EXPECT_EQ(ask(with_method("JWT", token("bob", -600))).reason, ReasonCode::NotAuthorized);
  EXPECT_EQ(ask(with_method("JWT", "")).reason, ReasonCode::NotAuthorized);
  EXPECT_EQ(ask(with_method("GS2-KRB5", "")).reason, ReasonCode::BadAuthenticationMethod);
}

TEST_F(Logins, ByScram) {
  auth::ScramClient client("ann", "secret");
  auto first = ask(with_method("SCRAM-SHA-256", client.first()));
  ASSERT_EQ(first.verdict, Verdict::Continue);
  const auto last = client.last(first.data);
  const auto second = ask(with_method("SCRAM-SHA-256", last, first.exchange));
  ASSERT_EQ(second.verdict, Verdict::Granted) << second.why;
  EXPECT_EQ(second.user, "ann");
  EXPECT_TRUE(client.believes(second.data));
  // The same bytes again, in an exchange of their own.
  auto again = ask(with_method("SCRAM-SHA-256", client.first()));
  ASSERT_EQ(again.verdict, Verdict::Continue);
  EXPECT_NE(again.data, first.data);
  const auto replayed = ask(with_method("SCRAM-SHA-256", last, again.exchange));
  EXPECT_EQ(replayed.verdict, Verdict::Refused);
  EXPECT_EQ(replayed.reason, ReasonCode::NotAuthorized);
}

TEST_F(Logins, ByScramDoNotShowWhoIsThere) {
  auth::ScramClient stranger("nobody", "secret");
  const auto first = ask(with_method("SCRAM-SHA-256", stranger.first()));
  ASSERT_EQ(first.verdict, Verdict::Continue);
  const auto salt = [](const std::string& text) { return text.substr(text.find(",s=")); };
  EXPECT_EQ(salt(ask(with_method("SCRAM-SHA-256", stranger.first())).data), salt(first.data));
  EXPECT_EQ(ask(with_method("SCRAM-SHA-256", stranger.last(first.data), first.exchange)).verdict, Verdict::Refused);
  auth::ScramClient wrong("ann", "wrong");
  const auto challenge = ask(with_method("SCRAM-SHA-256", wrong.first()));
  EXPECT_EQ(ask(with_method("SCRAM-SHA-256", wrong.last(challenge.data), challenge.exchange)).reason,
            ReasonCode::NotAuthorized);
  auto other = with_method("SCRAM-SHA-256", wrong.first());
  other.user_name = "bob";
  EXPECT_EQ(ask(std::move(other)).reason, ReasonCode::NotAuthorized) << "CONNECT names another user";
}

TEST_F(Logins, ByCertificate) {
  auto request = with("anybody", std::nullopt);
  request.from.certificate_user = "device-7";
  EXPECT_EQ(ask(request).user, "device-7") << "the certificate counts, not the user name";
  request.from.certificate_user = "a/b";
  EXPECT_EQ(ask(request).reason, ReasonCode::NotAuthorized);
  request.from.certificate_user = "b\xE4r";
  EXPECT_EQ(ask(request).reason, ReasonCode::NotAuthorized);
}

TEST_F(Logins, ByTheClientsOwnWordWhereAListenerAllowsIt) {
  EXPECT_EQ(ask(with("bob", std::nullopt, true)).user, "bob");
  EXPECT_EQ(ask(with(std::nullopt, std::nullopt, true)).user, "c1");
  EXPECT_EQ(ask(with("bob", std::nullopt, false)).reason, ReasonCode::BadUserNameOrPassword);
  EXPECT_EQ(ask(with("ann", std::nullopt, true)).reason, ReasonCode::BadUserNameOrPassword) << "she has a password";
  EXPECT_EQ(ask(with("bob", "anything", true)).reason, ReasonCode::BadUserNameOrPassword) << "what is given is checked";
  EXPECT_EQ(ask(with("a/b", std::nullopt, true)).reason, ReasonCode::BadUserNameOrPassword);
}

TEST_F(Logins, TakeAnyPasswordWhereNobodyCouldCheckIt) {
  options_.users_file.clear();
  options_.keys_file.clear();
  EXPECT_EQ(ask(with("bob", "anything", true)).user, "bob");
  EXPECT_EQ(ask(with_method("SCRAM-SHA-256", "n,,n=a,r=b")).reason, ReasonCode::BadAuthenticationMethod);
  EXPECT_EQ(ask(with_method("JWT", "x")).reason, ReasonCode::BadAuthenticationMethod);
}

TEST_F(Logins, CountFromTheFileAsItIsNow) {
  EXPECT_EQ(ask(with("ann", "secret")).verdict, Verdict::Granted);
  files_.write("users", "# nobody\n");
  EXPECT_EQ(ask(with("ann", "secret")).verdict, Verdict::Granted);
  service().reload();
  EXPECT_EQ(ask(with("ann", "secret")).verdict, Verdict::Refused);
}

TEST_F(Logins, AreRefusedWhenTooManyWait) {
  options_.waiting_max = 1;
  options_.threads = 1;
  std::size_t later = 0;
  bool busy = false;
  for (int i = 0; i < 1000 && !busy; ++i) {
    auto request = with("ann", "secret");
    request.connection = {.place = 7, .generation = 1};
    const auto answer = service().authenticate(3, std::move(request));
    if (!answer) ++later;
    busy = answer && answer->reason == ReasonCode::ServerBusy;
  }
  EXPECT_TRUE(busy);
  for (; later > 0; --later) EXPECT_EQ(answers_.take().verdict, Verdict::Granted);
}

}  // namespace
}  // namespace parley::login
