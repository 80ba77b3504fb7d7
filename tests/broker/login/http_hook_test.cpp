#include "broker/login/http_hook.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "config/error.hpp"

namespace parley::login {
namespace {

using namespace std::chrono_literals;
using mqtt::ReasonCode;
using Verdict = shard::LoginAnswer::Verdict;

/// A service that answers each request with the same bytes; empty: it never does.
class Service {
 public:
  explicit Service(std::string reply) : reply_(std::move(reply)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~Service() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/login?x=1"; }
  [[nodiscard]] int asked() const { return asked_; }
  std::string last;  ///< The last request; to be read once its answer is there.

 private:
  void run() {
    std::vector<int> silent;
    while (true) {
      const int socket = ::accept(listener_, nullptr, nullptr);
      if (socket < 0) break;
      ++asked_;
      std::string request;
      char bytes[4096];
      while (request.find("}") == std::string::npos) {
        const auto got = ::recv(socket, bytes, sizeof bytes, 0);
        if (got <= 0) break;
        request.append(bytes, static_cast<std::size_t>(got));
      }
      last = request;
      if (reply_.empty()) {
        silent.push_back(socket);
        continue;
      }
      (void)::send(socket, reply_.data(), reply_.size(), MSG_NOSIGNAL);
      ::close(socket);
    }
    for (const int socket : silent) ::close(socket);
  }

  const std::string reply_;
  int listener_;
  int port_ = 0;
  std::atomic<int> asked_ = 0;
  std::thread thread_;
};

std::string reply(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

shard::LoginRequest request(std::string password = "secret") {
  return {.client_id = "c1",
          .user_name = "ann",
          .password = std::move(password),
          .method = {},
          .data = {},
          .exchange = {},
          .from = {}};
}

struct Asked {
  shard::LoginAnswer answer;
  bool at_once = false;
};

Asked ask(HttpHook& hook, const shard::LoginRequest& about) {
  auto promise = std::make_shared<std::promise<shard::LoginAnswer>>();
  auto future = promise->get_future();
  auto known = hook.ask(about, [promise](shard::LoginAnswer answer) { promise->set_value(std::move(answer)); });
  if (known) return {*std::move(known), true};
  EXPECT_EQ(future.wait_for(20s), std::future_status::ready);
  return {future.get(), false};
}

TEST(HttpHook, TakesAClearYes) {
  LoginCounters counters;
  Service service(reply("200 OK", R"({"user":"ann@x","expires":1900000000})"));
  HttpHook hook({.url = service.url()}, counters);
  const auto first = ask(hook, request());
  EXPECT_EQ(first.answer.verdict, Verdict::Granted);
  EXPECT_EQ(first.answer.user, "ann@x");
  EXPECT_EQ(first.answer.expires->milliseconds, 1'900'000'000'000U);
  EXPECT_NE(service.last.find("POST /login?x=1 HTTP/1.1"), std::string::npos) << service.last;
  EXPECT_NE(service.last.find(R"({"client_id":"c1","secure":false,"user_name":"ann","password":"secret"})"),
            std::string::npos)
      << service.last;
}

TEST(HttpHook, RemembersWhatWasSaid) {
  LoginCounters counters;
  for (const char* status : {"204 No Content", "401 Unauthorized"}) {
    Service service(reply(status, ""));
    HttpHook hook({.url = service.url()}, counters);
    const auto first = ask(hook, request());
    const auto second = ask(hook, request());
    EXPECT_FALSE(first.at_once);
    EXPECT_TRUE(second.at_once);
    EXPECT_EQ(second.answer.verdict, first.answer.verdict);
    EXPECT_EQ(service.asked(), 1);
    ask(hook, request("other"));
    EXPECT_EQ(service.asked(), 2) << "another password is another question";
    hook.forget();
    ask(hook, request());
    EXPECT_EQ(service.asked(), 3);
  }
}

TEST(HttpHook, TakesEverythingElseForANo) {
  struct Case {
    std::string reply;
    ReasonCode reason;
  };
  const Case cases[] = {
      {reply("401 Unauthorized", ""), ReasonCode::BadUserNameOrPassword},
      {reply("403 Forbidden", ""), ReasonCode::NotAuthorized},
      {reply("500 Oops", ""), ReasonCode::ServerUnavailable},
      {reply("302 Found", ""), ReasonCode::ServerUnavailable},
      {reply("200 OK", "yes"), ReasonCode::ServerUnavailable},
      {reply("200 OK", R"({"user":7})"), ReasonCode::ServerUnavailable},
      {reply("200 OK", R"({"user":"a/b"})"), ReasonCode::NotAuthorized},
      {reply("200 OK", R"({"expires":"never"})"), ReasonCode::ServerUnavailable},
      {"SSH-2.0-x\r\n", ReasonCode::ServerUnavailable},
      {reply("200 OK", std::string(100'000, ' ')), ReasonCode::ServerUnavailable},
  };
  for (const Case& one : cases) {
    LoginCounters counters;
    Service service(one.reply);
    HttpHook hook({.url = service.url()}, counters);
    const auto asked = ask(hook, request());
    EXPECT_EQ(asked.answer.verdict, Verdict::Refused) << one.reply.substr(0, 80);
    EXPECT_EQ(asked.answer.reason, one.reason) << one.reply.substr(0, 80);
    if (one.reason != ReasonCode::ServerUnavailable) continue;
    EXPECT_FALSE(ask(hook, request()).at_once) << "a failure isn't remembered";
    EXPECT_EQ(counters.http_failed, 2U);
  }
}

TEST(HttpHook, WaitsNoLongerThanItMay) {
  LoginCounters counters;
  Service service("");
  HttpHook hook({.url = service.url(), .timeout = 200ms, .requests_max = 1, .waiting_max = 3}, counters);
  std::vector<std::future<shard::LoginAnswer>> waiting;
  for (int i = 0; i < 3; ++i) {
    auto promise = std::make_shared<std::promise<shard::LoginAnswer>>();
    waiting.push_back(promise->get_future());
    EXPECT_FALSE(hook.ask(request("p" + std::to_string(i)),
                          [promise](shard::LoginAnswer answer) { promise->set_value(std::move(answer)); }));
  }
  const auto busy = hook.ask(request("p4"), [](const shard::LoginAnswer&) {});
  ASSERT_TRUE(busy);
  EXPECT_EQ(busy->reason, ReasonCode::ServerBusy);
  for (auto& one : waiting) {
    ASSERT_EQ(one.wait_for(20s), std::future_status::ready);
    EXPECT_EQ(one.get().reason, ReasonCode::ServerUnavailable);
  }
}

TEST(HttpHook, IsDownWhenTheServiceIs) {
  LoginCounters counters;
  std::string url;
  {
    const Service service("x");
    url = service.url();
  }
  HttpHook hook({.url = url}, counters);
  EXPECT_EQ(ask(hook, request()).answer.reason, ReasonCode::ServerUnavailable);
}

TEST(HttpHook, StopsWithQuestionsOpen) {
  LoginCounters counters;
  Service service("");
  HttpHook hook({.url = service.url(), .timeout = 60s}, counters);
  EXPECT_FALSE(hook.ask(request(), [](const shard::LoginAnswer&) { ADD_FAILURE(); }));
}

TEST(HttpHook, RefusesWhatIsNoUrl) {
  LoginCounters counters;
  for (const char* url : {"x", "ftp://a/b", "http://", "http://user:password@host/"}) {
    EXPECT_THROW(HttpHook({.url = url}, counters), config::ConfigError) << url;
  }
}

}  // namespace
}  // namespace parley::login
