#include "broker/login/login_service.hpp"

#include <openssl/rand.h>

#include <chrono>
#include <utility>

#include "base/base64.hpp"
#include "base/check.hpp"
#include "base/name.hpp"
#include "broker/auth/digest.hpp"
#include "broker/auth/identity.hpp"
#include "broker/auth/password_hash.hpp"
#include "broker/auth/token.hpp"
#include "mqtt/utf8.hpp"

namespace parley::login {
namespace {

using mqtt::ReasonCode;
using shard::LoginAnswer;
using Verdict = LoginAnswer::Verdict;

/// Authentication Method with a token as Authentication Data. docs/SECURITY.md "Tokens".
constexpr std::string_view kTokenMethod = "JWT";
constexpr std::size_t kNonceSize = 18;
constexpr std::size_t kTokenMemory = 64 * 1024;

LoginAnswer refused(ReasonCode reason, std::string_view why) {
  return {.verdict = Verdict::Refused, .user = {}, .data = {}, .exchange = {}, .reason = reason, .why = why};
}

LoginAnswer granted(std::string user) {
  return {.verdict = Verdict::Granted, .user = std::move(user), .data = {}, .exchange = {}, .why = {}};
}

Timestamp wall_now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return {static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count())};
}

std::string random_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  PARLEY_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(size)) == 1,
               "OpenSSL gives no random bytes");
  return bytes;
}

std::string random_nonce() {
  std::string nonce;
  append_base64(nonce, random_bytes(kNonceSize));
  return nonce;
}

struct Exchange final : shard::LoginExchange {
  auth::ScramExchange scram{random_nonce()};
  std::string user;
  bool known = false;  ///< Else it only looks as if.
};

std::size_t memory_of(const std::string& hash) {
  const auto cost = auth::cost_of(hash);
  return cost ? std::size_t{cost->memory_kib} * 1024 : 0;
}

/// Empty counts as left out: some libraries always send a user name.
bool is_given(const std::optional<std::string>& text) { return text && !text->empty(); }

}  // namespace

LoginService::LoginService(LoginOptions options, LoginAnswers& answers)
    : options_(std::move(options)),
      answers_(answers),
      files_(options_),
      key_(random_bytes(32)),
      threads_({.threads = options_.threads, .memory = options_.hash_memory, .waiting = options_.waiting_max}) {
  if (!options_.users_file.empty()) {
    dummy_hash_ = auth::hash_password(random_bytes(16), random_bytes(auth::kSaltSize)).value_or("");
  }
  if (!options_.http.url.empty()) hook_ = std::make_unique<HttpHook>(options_.http, counters_);
}

LoginService::~LoginService() { stop(); }

void LoginService::stop() {
  threads_.stop();
  if (hook_) hook_->stop();
}

void LoginService::reload() {
  files_.reload();
  if (hook_) hook_->forget();
}

std::optional<LoginAnswer> LoginService::authenticate(shard::ShardId shard, shard::LoginRequest request) {
  auto answer = decide({.shard = shard, .connection = request.connection}, request);
  if (answer) count(*answer);
  return answer;
}

LoginService::Answer LoginService::decide(Asker asker, shard::LoginRequest& request) {
  const auto credentials = files_.current();
  if (request.method == auth::kScramMethod && !options_.users_file.empty()) return by_scram(request, *credentials);
  if (request.method == kTokenMethod && !options_.keys_file.empty()) {
    return by_token(asker, std::move(request.data), request.user_name, ReasonCode::NotAuthorized, credentials);
  }
  if (!request.method.empty()) {
    return refused(ReasonCode::BadAuthenticationMethod, "The authentication method isn't served here.");
  }
  if (!request.from.certificate_user.empty()) return by_certificate(request);
  if (request.password) {
    if (auto answer = by_password(asker, request, credentials); !answer || answer->verdict != Verdict::Continue) {
      return answer;
    }
  }
  return by_own_word(request, *credentials);
}

/// Continue: there is nobody here who could check a password.
LoginService::Answer LoginService::by_password(Asker asker, shard::LoginRequest& request,
                                               const CredentialsPtr& credentials) {
  if (!options_.keys_file.empty() && auth::looks_like_token(*request.password)) {
    return by_token(asker, *std::move(request.password), request.user_name, ReasonCode::BadUserNameOrPassword,
                    credentials);
  }
  const std::string name = request.user_name.value_or("");
  const auto user = credentials->users.find(name);
  const bool known = user != credentials->users.end() && !user->second.hash.empty();
  if (!known && hook_ && user == credentials->users.end()) return by_service(asker, request);
  if (options_.users_file.empty()) {
    if (options_.keys_file.empty()) return LoginAnswer{.verdict = Verdict::Continue, .why = {}};
    return refused(ReasonCode::BadUserNameOrPassword, "The password is no token.");
  }
  // Whether the name or the password is wrong takes the same time to say.
  std::string hash = known ? user->second.hash : dummy_hash_;
  const std::size_t memory = memory_of(hash);
  return later(
      asker,
      [this, known, name, hash = std::move(hash), password = *std::move(request.password)] {
        counters_.hashes.fetch_add(1, std::memory_order_relaxed);
        const bool right = auth::is_password(password, hash);
        if (!known || !right) return refused(ReasonCode::BadUserNameOrPassword, "User name or password is wrong.");
        return granted(name);
      },
      memory);
}

LoginService::Answer LoginService::by_own_word(const shard::LoginRequest& request,
                                               const Credentials& credentials) const {
  if (!request.from.allow_anonymous) {
    return refused(ReasonCode::BadUserNameOrPassword, "The listener wants credentials.");
  }
  auth::Credentials given{.client_id = request.client_id, .user_name = {}, .password = {}};
  if (request.user_name) given.user_name = *request.user_name;
  auto user = auth::anonymous_user(given);
  if (!user) return refused(ReasonCode::BadUserNameOrPassword, "The user name is no valid name.");
  if (credentials.users.contains(*user)) {
    return refused(ReasonCode::BadUserNameOrPassword, "The user has a password, and none was given.");
  }
  return granted(*std::move(user));
}

LoginService::Answer LoginService::by_certificate(const shard::LoginRequest& request) const {
  const std::string& user = request.from.certificate_user;
  if (!mqtt::is_mqtt_utf8(user) || !is_name(user)) {
    return refused(ReasonCode::NotAuthorized, "The client's certificate names no valid user.");
  }
  return granted(user);
}

LoginService::Answer LoginService::by_token(Asker asker, std::string token, std::optional<std::string> user_name,
                                            ReasonCode reason, const CredentialsPtr& credentials) {
  return later(
      asker,
      [this, token = std::move(token), user_name = std::move(user_name), reason, credentials] {
        counters_.tokens.fetch_add(1, std::memory_order_relaxed);
        auto checked = auth::check_token(token, credentials->keys, options_.token, wall_now());
        if (const auto* why = std::get_if<std::string_view>(&checked)) return refused(reason, *why);
        auto& found = std::get<auth::Token>(checked);
        if (is_given(user_name) && *user_name != found.user) {
          return refused(reason, "The token is of another user than the user name.");
        }
        auto answer = granted(std::move(found.user));
        answer.expires = found.expires;
        return answer;
      },
      kTokenMemory);
}

LoginService::Answer LoginService::by_scram(shard::LoginRequest& request, const Credentials& credentials) {
  if (request.exchange == nullptr) {
    counters_.scram.fetch_add(1, std::memory_order_relaxed);
    auto exchange = std::make_shared<Exchange>();
    const auto user = exchange->scram.begin(request.data);
    if (!user) return refused(ReasonCode::NotAuthorized, "The first message of SCRAM can't be read.");
    if (is_given(request.user_name) && *request.user_name != *user) {
      return refused(ReasonCode::NotAuthorized, "SCRAM is of another user than the user name.");
    }
    const auto known = credentials.users.find(*user);
    std::optional<auth::ScramVerifier> verifier;
    if (known != credentials.users.end()) verifier = auth::read_scram_verifier(known->second.scram);
    exchange->known = verifier.has_value();
    exchange->user = *user;
    const auto challenge = exchange->scram.challenge(verifier ? *verifier : made_up_verifier(*user));
    return LoginAnswer{
        .verdict = Verdict::Continue, .user = {}, .data = challenge, .exchange = std::move(exchange), .why = {}};
  }
  auto& exchange = static_cast<Exchange&>(*request.exchange);
  auto last = exchange.scram.finish(request.data);
  if (!last || !exchange.known) {
    return refused(ReasonCode::NotAuthorized, "SCRAM's proof is wrong, or of another exchange.");
  }
  auto answer = granted(exchange.user);
  answer.data = *std::move(last);
  return answer;
}

/// The same for each question about a user while the process lives, so that nothing shows who is there.
auth::ScramVerifier LoginService::made_up_verifier(std::string_view user) const {
  const std::string salt = auth::hmac_sha256(key_, std::string("salt:").append(user));
  const std::string key = auth::hmac_sha256(key_, std::string("key:").append(user));
  return {.iterations = auth::kScramIterations, .salt = salt.substr(0, 16), .stored_key = key, .server_key = key};
}

LoginService::Answer LoginService::by_service(Asker asker, const shard::LoginRequest& request) {
  if (!mqtt::is_mqtt_utf8(*request.password)) {
    return refused(ReasonCode::BadUserNameOrPassword, "The password isn't text, and the user service takes only text.");
  }
  return hook_->ask(request, [this, asker](LoginAnswer answer) { deliver(asker, std::move(answer)); });
}

LoginService::Answer LoginService::later(Asker asker, std::function<LoginAnswer()> check, std::size_t memory) {
  const bool taken = threads_.submit([this, asker, check = std::move(check)] { deliver(asker, check()); }, memory);
  if (taken) return std::nullopt;
  return refused(ReasonCode::ServerBusy, "Too many logins wait already.");
}

void LoginService::deliver(Asker asker, LoginAnswer answer) {
  count(answer);
  answers_.post(asker.shard, asker.connection, std::move(answer));
}

void LoginService::count(const LoginAnswer& answer) {
  if (answer.verdict == Verdict::Continue) return;
  const bool unknown = answer.reason == ReasonCode::ServerBusy || answer.reason == ReasonCode::ServerUnavailable;
  auto& counter = answer.verdict == Verdict::Granted ? counters_.granted
                  : unknown                          ? counters_.unanswered
                                                     : counters_.refused;
  counter.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace parley::login
