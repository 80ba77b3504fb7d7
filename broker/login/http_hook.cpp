#include "broker/login/http_hook.hpp"

#include <openssl/rand.h>
#include <pthread.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <boost/url/parse.hpp>
#include <deque>
#include <thread>
#include <utility>

#include "base/aio/task_group.hpp"
#include "base/aio/within.hpp"
#include "base/check.hpp"
#include "base/log.hpp"
#include "broker/auth/digest.hpp"
#include "broker/login/answer_cache.hpp"
#include "config/error.hpp"

namespace parley::login {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using mqtt::ReasonCode;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kBodyMax = 64 * 1024;
constexpr Duration kFailureLine = std::chrono::seconds(10);

struct Target {
  bool secure = false;
  std::string host;
  std::string port;
  std::string path;
};

Target read_target(const std::string& url) {
  const auto parsed = boost::urls::parse_uri(url);
  const bool known = parsed && (parsed->scheme() == "http" || parsed->scheme() == "https");
  if (!known || !parsed->has_authority() || parsed->host_address().empty() || parsed->has_userinfo()) {
    throw config::ConfigError("auth.http.url \"" + url + "\" is no URL such as http://127.0.0.1:8000/login");
  }
  Target target{.secure = parsed->scheme() == "https", .host = parsed->host_address(), .port = {}, .path = {}};
  target.port = parsed->has_port() ? std::string(parsed->port()) : target.secure ? "443" : "80";
  target.path = parsed->encoded_resource();
  if (target.path.empty()) target.path = "/";
  return target;
}

struct HttpReply {
  unsigned status = 0;
  std::string body;
};

shard::LoginAnswer unavailable(std::string_view why) {
  return {.verdict = shard::LoginAnswer::Verdict::Refused,
          .user = {},
          .data = {},
          .exchange = {},
          .reason = ReasonCode::ServerUnavailable,
          .why = why};
}

Instant steady_now() { return std::chrono::steady_clock::now(); }

}  // namespace

/// Everything but `ask` and `forget` belongs to the thread.
class HttpHook::Running {
 public:
  Running(HttpOptions options, LoginCounters& counters)
      : options_(std::move(options)),
        target_(read_target(options_.url)),
        counters_(counters),
        cache_(options_.cache),
        tls_(asio::ssl::context::tls_client),
        tasks_(io_.get_executor()),
        work_(io_.get_executor()) {
    PARLEY_CHECK(RAND_bytes(key_.data(), static_cast<int>(key_.size())) == 1, "OpenSSL gives no random bytes");
    boost::system::error_code ignored;
    tls_.set_default_verify_paths(ignored);
    tls_.set_verify_mode(asio::ssl::verify_peer);
    thread_ = std::thread([this] { io_.run(); });
    ::pthread_setname_np(thread_.native_handle(), "user-service");
  }

  ~Running() {
    asio::post(io_, [this] {
      stopping_ = true;
      waiting_.clear();
      tasks_.stop();
      work_.reset();
    });
    thread_.join();
  }

  std::optional<shard::LoginAnswer> ask(const shard::LoginRequest& request, Done done) {
    const std::string key = key_of(request);
    if (auto known = cache_.find(key, steady_now())) {
      counters_.http_cached.fetch_add(1, std::memory_order_relaxed);
      return known;
    }
    if (open_.fetch_add(1) >= options_.waiting_max) {
      open_.fetch_sub(1);
      auto busy = unavailable("Too many logins wait for the user service.");
      busy.reason = ReasonCode::ServerBusy;
      return busy;
    }
    Question question{.key = key,
                      .user_name = request.user_name.value_or(""),
                      .body = body_of(request),
                      .asked = steady_now(),
                      .done = std::move(done)};
    asio::post(io_, [this, question = std::move(question)]() mutable {
      if (stopping_) return;
      waiting_.push_back(std::move(question));
      begin();
    });
    return std::nullopt;
  }

  void forget() { cache_.clear(); }

 private:
  struct Question {
    std::string key;
    std::string user_name;
    std::string body;
    Instant asked;
    Done done;
  };

  /// No two different requests have the same key, and nobody can tell a password from one.
  std::string key_of(const shard::LoginRequest& request) const {
    std::string text;
    for (const std::string& part : {request.client_id, request.user_name.value_or(""), request.password.value_or("")}) {
      text.append(std::to_string(part.size())).append(":").append(part);
    }
    text.append(request.password ? "p" : "").append(std::to_string(request.from.listener));
    return auth::hmac_sha256({reinterpret_cast<const char*>(key_.data()), key_.size()}, text);
  }

  static std::string body_of(const shard::LoginRequest& request) {
    boost::json::object body{{"client_id", request.client_id}, {"secure", request.from.is_secure}};
    if (request.user_name) body["user_name"] = *request.user_name;
    // A password is any bytes; JSON has only text. The caller sends none that isn't.
    if (request.password) body["password"] = *request.password;
    return boost::json::serialize(body);
  }

  void begin() {
    while (under_way_ < options_.requests_max && !waiting_.empty()) {
      Question question = std::move(waiting_.front());
      waiting_.pop_front();
      if (steady_now() - question.asked > options_.timeout) {
        finish(question, unavailable("The user service took too long."));
        continue;
      }
      ++under_way_;
      tasks_.spawn(answer(std::move(question)));
    }
  }

  void finish(Question& question, shard::LoginAnswer answer) {
    open_.fetch_sub(1);
    if (!stopping_) question.done(std::move(answer));
  }

  asio::awaitable<void> answer(Question question) {
    counters_.http_asked.fetch_add(1, std::memory_order_relaxed);
    auto asking = exchange(question.body);
    auto reply = co_await aio::within(options_.timeout, std::move(asking));
    --under_way_;
    auto answer = reply ? read_hook_answer(reply->status, reply->body, question.user_name)
                        : unavailable("The user service doesn't answer.");
    if (answer.reason == ReasonCode::ServerUnavailable && answer.verdict == shard::LoginAnswer::Verdict::Refused) {
      counters_.http_failed.fetch_add(1, std::memory_order_relaxed);
      note_failure(reply ? "status " + std::to_string(reply->status) : reply.error().message());
    } else {
      cache_.put(question.key, answer, steady_now());
    }
    finish(question, std::move(answer));
    if (!stopping_) begin();
  }

  void note_failure(const std::string& why) {
    ++failures_;
    if (steady_now() - failure_told_ < kFailureLine) return;
    failure_told_ = steady_now();
    log::warn("the user service can't be asked, refusing whom only it knows",
              {{"url", options_.url}, {"error", why}, {"failures", std::exchange(failures_, 0)}});
  }

  asio::awaitable<Result<HttpReply>> exchange(std::string body) {
    tcp::resolver resolver(io_);
    auto [unresolved, endpoints] = co_await resolver.async_resolve(target_.host, target_.port, kTuple);
    if (unresolved) co_return unresolved;
    // A name is looked up to its end, whoever cancels that.
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return asio::error::operation_aborted;
    tcp::socket socket(io_);
    auto [unconnected, endpoint] = co_await asio::async_connect(socket, endpoints, kTuple);
    if (unconnected) co_return unconnected;
    if (!target_.secure) {
      auto talking = talk(socket, std::move(body));
      auto reply = co_await std::move(talking);
      co_return reply;
    }
    asio::ssl::stream<tcp::socket&> secure(socket, tls_);
    secure.set_verify_callback(asio::ssl::host_name_verification(target_.host));
    SSL_set_tlsext_host_name(secure.native_handle(), target_.host.c_str());
    auto [refused] = co_await secure.async_handshake(asio::ssl::stream_base::client, kTuple);
    if (refused) co_return refused;
    auto talking = talk(secure, std::move(body));
    auto reply = co_await std::move(talking);
    co_return reply;
  }

  template <class Stream>
  asio::awaitable<Result<HttpReply>> talk(Stream& stream, std::string body) {
    http::request<http::string_body> request(http::verb::post, target_.path, 11);
    request.set(http::field::host, target_.host);
    request.set(http::field::content_type, "application/json");
    request.set(http::field::connection, "close");
    request.body() = std::move(body);
    request.prepare_payload();
    auto [unsent, sent] = co_await http::async_write(stream, request, kTuple);
    if (unsent) co_return unsent;
    boost::beast::flat_buffer buffer(kBodyMax);
    http::response_parser<http::string_body> parser;
    parser.body_limit(kBodyMax);
    auto [unread, read] = co_await http::async_read(stream, buffer, parser, kTuple);
    if (unread) co_return unread;
    auto& response = parser.get();
    co_return HttpReply{.status = response.result_int(), .body = std::move(response.body())};
  }

  const HttpOptions options_;
  const Target target_;
  LoginCounters& counters_;
  AnswerCache cache_;
  std::array<unsigned char, 32> key_{};
  std::atomic<std::size_t> open_ = 0;
  asio::io_context io_{1};
  asio::ssl::context tls_;
  aio::TaskGroup tasks_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::deque<Question> waiting_;
  std::size_t under_way_ = 0;
  std::uint64_t failures_ = 0;
  Instant failure_told_;
  bool stopping_ = false;
  std::thread thread_;
};

HttpHook::HttpHook(HttpOptions options, LoginCounters& counters)
    : running_(std::make_unique<Running>(std::move(options), counters)) {}

HttpHook::~HttpHook() = default;

std::optional<shard::LoginAnswer> HttpHook::ask(const shard::LoginRequest& request, Done done) {
  return running_ ? running_->ask(request, std::move(done)) : unavailable("The server is going away.");
}

void HttpHook::forget() {
  if (running_) running_->forget();
}

void HttpHook::stop() { running_.reset(); }

}  // namespace parley::login
