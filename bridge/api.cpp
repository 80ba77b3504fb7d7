#include "bridge/api.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "base/name.hpp"
#include "bridge/credentials.hpp"
#include "bridge/draft.hpp"
#include "bridge/receipt.hpp"
#include "mqtt/utf8.hpp"

namespace parley::bridge {
namespace {

/// How often the broker is asked again when it answers for an earlier moment than that of what is stored.
constexpr int kAskedMax = 10;
constexpr Duration kAskedPause = std::chrono::milliseconds(20);

struct ResourceRule {
  Resource resource;
  bool get = true;
  bool post = false;
  bool head = true;
  std::string_view allow;
  bool changes = false;  ///< PATCH and DELETE.
};
constexpr std::array kResources{
    ResourceRule{Resource::Messages, true, true, true, "GET, HEAD, POST, OPTIONS"},
    ResourceRule{Resource::Message, false, false, false, "PATCH, DELETE, OPTIONS", true},
    ResourceRule{Resource::Stream, true, false, false, "GET, OPTIONS"},
    ResourceRule{Resource::Health, true, false, true, "GET, HEAD, OPTIONS"},
    ResourceRule{Resource::Ready, true, false, true, "GET, HEAD, OPTIONS"},
    ResourceRule{Resource::Metrics, true, false, true, "GET, HEAD, OPTIONS"},
    ResourceRule{Resource::OpenApi, true, false, true, "GET, HEAD, OPTIONS"},
};

const ResourceRule* find_rule(Resource resource) {
  const auto* found = std::ranges::find(kResources, resource, &ResourceRule::resource);
  return found == kResources.end() ? nullptr : found;
}

bool takes(const ResourceRule& rule, Method method) {
  switch (method) {
    case Method::Get: return rule.get;
    case Method::Head: return rule.head;
    case Method::Post: return rule.post;
    case Method::Patch:
    case Method::Delete: return rule.changes;
    case Method::Options: return true;
    case Method::Other: break;
  }
  return false;
}

bool sends(Method method) { return method == Method::Post || method == Method::Patch || method == Method::Delete; }

void set_problem(Call& call, Problem problem, std::string detail = {}) {
  call.response.set_problem({.problem = problem, .detail = std::move(detail), .members = {}});
}

}  // namespace

Api::Next Api::begin(Call& call) {
  call.response.clear();
  if (!call.request.has_host && !call.request.http_1_0) {  // RFC 9112 §3.2
    set_problem(call, Problem::MalformedRequest, "The Host header field is missing.");
    call.response.close = true;
    return Next::Done;
  }
  if (call.request.method == Method::Options && call.request.target == "*") {
    call.response.status = 204;
    call.response.add_header("Allow", "GET, HEAD, POST, PATCH, DELETE, OPTIONS");
    return Next::Done;
  }
  call.target = read_target(call.request.target);
  const ResourceRule* rule = find_rule(call.target.resource);
  if (rule == nullptr) {
    set_problem(call, Problem::NoSuchResource);
    return Next::Done;
  }
  if (call.request.method == Method::Options || !takes(*rule, call.request.method)) {
    if (call.request.method == Method::Options) call.response.status = 204;
    if (call.request.method != Method::Options) set_problem(call, Problem::MethodNotAllowed);
    call.response.add_header("Allow", rule->allow);
    return Next::Done;
  }
  return begin_resource(call);
}

Api::Next Api::begin_resource(Call& call) {
  Response& response = call.response;
  switch (call.target.resource) {
    case Resource::Messages: return begin_messages(call);
    case Resource::Message: return authenticate(call) ? Next::Later : Next::Done;
    case Resource::Stream: return begin_stream(call);
    case Resource::Ready: return Next::Later;
    case Resource::Health: response.body = "{\"status\":\"alive\"}"; break;
    case Resource::Metrics:
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      append_metrics(response.body, metrics_);
      break;
    case Resource::OpenApi:
      response.cache_control = "no-cache";
      response.body = openapi_document();
      break;
    case Resource::None: break;
  }
  return Next::Done;
}

/// Who asks. Reading public conversations needs no name while anonymous users are allowed; all else is for the broker
/// to say, which gets the credentials as they are.
bool Api::authenticate(Call& call) {
  call.credentials.reset();
  call.asks = false;
  const std::string& field = call.request.authorization;
  if (!options_.allow_anonymous && !options_.authenticates) {
    set_problem(call, Problem::NotAuthenticated,
                "This server takes no anonymous users, and has no way to check passwords or tokens.");
    return false;
  }
  if (field.empty() && options_.allow_anonymous && !sends(call.request.method)) return true;
  auto credentials = read_credentials(field);
  const bool names_itself = credentials && !credentials->password && is_name(credentials->user);
  // The broker may take this machine's clients at their word; others must not profit from that.
  if (!credentials || (!credentials->password && (!options_.allow_anonymous || !names_itself))) {
    set_problem(call, Problem::NotAuthenticated,
                options_.allow_anonymous ? "Say who you are with Authorization: Basic and a user's name."
                                         : "Say who you are with Authorization: Bearer and a token, or Basic.");
    return false;
  }
  if (call.target.conversation.starts_with("dm:")) {
    const std::string user = claimed_user(*credentials, options_.token_user_claim);
    call.target.conversation = conversation_meant(std::move(call.target.conversation), user);
  }
  call.credentials = std::move(credentials);
  return true;
}

Api::Next Api::begin_messages(Call& call) {
  if (!authenticate(call)) return Next::Done;
  if (call.request.method == Method::Post) return Next::Later;
  auto read = read_history_query(call.target.query);
  if (const auto* problem = std::get_if<ProblemDetails>(&read)) {
    call.response.set_problem(*problem);
    return Next::Done;
  }
  call.query = std::get<HistoryQuery>(read);
  if (!may_begin_reading(call)) return Next::Done;
  return call.asks ? Next::Later : read_page(call);
}

/// What is open to everybody, anonymous users included, is read at once. False when nobody says who asks.
bool Api::may_begin_reading(Call& call) {
  const auto standing = pages_.standing_of(call.target.conversation);
  call.asks = !options_.allow_anonymous || standing.kind == PageReader::Standing::Kind::Private;
  call.visible = {.from = {1}, .upto = standing.place.head};
  if (!call.asks || call.credentials) return true;
  set_problem(call, Problem::NotAuthenticated, "This conversation isn't open to everybody; say who you are.");
  return false;
}

Api::Next Api::read_page(Call& call) {
  const auto waitable = pages_.answer({.target = call.target,
                                       .query = call.query,
                                       .if_none_match = call.request.if_none_match,
                                       .visible = call.visible},
                                      call.response);
  if (!waitable || call.query.wait == 0) return Next::Done;
  if (watch_.full()) {
    set_problem(call, Problem::Busy, "Too many requests wait already.");
    return Next::Done;
  }
  call.waitable = *waitable;
  return Next::Later;
}

Api::Next Api::begin_stream(Call& call) {
  if (!authenticate(call)) return Next::Done;
  const auto read = read_stream_query(call.target.query);
  if (const auto* problem = std::get_if<ProblemDetails>(&read)) {
    call.response.set_problem(*problem);
    return Next::Done;
  }
  call.query = std::get<HistoryQuery>(read);
  if (!may_begin_reading(call)) return Next::Done;
  return call.asks ? Next::Later : read_stream(call);
}

Api::Next Api::read_stream(Call& call) {
  const auto position = pages_.begin_stream(call.target, call.query, call.request.last_event_id, call.visible);
  if (const auto* problem = std::get_if<ProblemDetails>(&position)) {
    call.response.set_problem(*problem);
    return Next::Done;
  }
  if (watch_.full()) {
    set_problem(call, Problem::Busy, "Too many requests wait already.");
    return Next::Done;
  }
  call.stream = std::get<PageReader::StreamPosition>(position);
  call.stream.open = !call.asks;
  call.response.content_type = "text/event-stream";
  return Next::Stream;
}

asio::awaitable<Api::Next> Api::finish(Call& call) {
  if (call.target.resource == Resource::Ready) {
    co_await report_readiness(call);
    co_return Next::Done;
  }
  if (sends(call.request.method)) {
    co_await send(call);
    co_return Next::Done;
  }
  if (call.asks) {
    auto asking = authorize(call);
    const bool may = co_await std::move(asking);
    if (!may) co_return Next::Done;
    const Next next = call.target.resource == Resource::Stream ? read_stream(call) : read_page(call);
    if (next != Next::Later) co_return next;
  }
  co_await wait_for_page(call);
  co_return Next::Done;
}

asio::awaitable<bool> Api::authorize(Call& call) {
  for (int asked = 0; asked < kAskedMax; ++asked) {
    if (asked != 0) {
      asio::steady_timer timer(co_await asio::this_coro::executor, kAskedPause);
      const auto [cancelled] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
      if (cancelled) break;
    }
    auto asking = ask(call);
    const Asked answer = co_await std::move(asking);
    if (answer != Asked::TooEarly) co_return answer == Asked::Yes;
  }
  set_problem(call, Problem::Busy, "The broker doesn't know yet what is stored here.");
  co_return false;
}

asio::awaitable<Api::Asked> Api::ask(Call& call) {
  // A subscription could make a conversation that isn't there: then only whether they may come in is asked.
  const auto standing = pages_.standing_of(call.target.conversation);
  const bool is_there = standing.kind != PageReader::Standing::Kind::None;
  Credentials credentials = *call.credentials;
  std::string topic = is_there ? options_.chat_root + '/' + call.target.conversation + "/msg" : std::string();
  if (Right* known = senders_.known_right(credentials, topic); known && pages_.still_holds(*known, standing.place)) {
    call.visible = known->visible();
    co_return Asked::Yes;
  }
  auto asking = senders_.may_read(std::move(credentials), std::move(topic), standing.place);
  const auto answer = co_await std::move(asking);
  const bool refused = write_refusal(answer, call.response);
  // That there is a private conversation isn't for others to know.
  if (standing.kind == PageReader::Standing::Kind::Private && refused &&
      call.response.status == rule_of(Problem::NotAuthorized).status) {
    set_problem(call, Problem::NoSuchConversation);
  }
  if (refused) co_return Asked::No;
  if (!is_there) {
    call.response.set_problem(standing.absence);
    co_return Asked::No;
  }
  Right right = right_of(*answer, standing.place);
  // The thread or node that answers may hear of an entry a moment after it is stored.
  if (!pages_.still_holds(right, standing.place)) co_return Asked::TooEarly;
  call.visible = right.visible();
  co_return Asked::Yes;
}

asio::awaitable<void> Api::wait_for_page(Call& call) {
  const Instant deadline = std::chrono::steady_clock::now() + std::chrono::seconds(call.query.wait);
  while (true) {
    const auto [conversation, head] = call.waitable;
    const bool grown = co_await watch_.grown(conversation, head, deadline);
    call.response.clear();
    if (grown && !may_begin_reading(call)) co_return;
    if (grown && call.asks) {
      auto asking = authorize(call);
      const bool may = co_await std::move(asking);
      if (!may) co_return;
    }
    const auto waitable = pages_.answer({.target = call.target,
                                         .query = call.query,
                                         .if_none_match = call.request.if_none_match,
                                         .visible = call.visible},
                                        call.response);
    if (!grown || !waitable) co_return;
    call.waitable = *waitable;
  }
}

asio::awaitable<void> Api::send(Call& call) {
  const std::string& conversation = call.target.conversation;
  if (!mqtt::is_mqtt_utf8(conversation) || !is_name(conversation)) {
    set_problem(call, Problem::InvalidTopic);
    co_return;
  }
  const DraftSource source{.content_type = call.request.content_type,
                           .idempotency_key = call.request.idempotency_key,
                           .body = call.request.body};
  const bool is_message = call.request.method == Method::Post;
  auto read = is_message                             ? read_draft(source)
              : call.request.method == Method::Patch ? read_edit(source, call.target.seq)
                                                     : read_redaction(source, call.target.seq);
  if (const auto* problem = std::get_if<ProblemDetails>(&read)) {
    call.response.set_problem(*problem);
    co_return;
  }
  auto& draft = std::get<Draft>(read);
  const bool repeatable = !draft.id.empty();
  link::Publication publication{.topic = options_.chat_root + '/' + conversation + (is_message ? "/msg" : "/ctl"),
                                .payload = std::move(draft.payload),
                                .qos = mqtt::Qos::AtLeastOnce,
                                .retain = false,
                                .properties = std::move(draft.properties)};
  Credentials credentials = *call.credentials;
  auto sending = senders_.publish(std::move(credentials), std::move(publication), repeatable);
  const auto answer = co_await std::move(sending);
  write_receipt(answer, call.response, !is_message);
}

asio::awaitable<void> Api::report_readiness(Call& call) {
  const bool history = reader_.history() != nullptr && pages_.follow().has_value();
  const bool broker = co_await senders_.reachable();
  const auto word = [](bool good) { return good ? "\"ready\"" : "\"missing\""; };
  if (!history || !broker) {
    call.response.set_problem({.problem = Problem::NotReady,
                               .detail = {},
                               .members = {{"history", word(history)}, {"broker", word(broker)}}});
    co_return;
  }
  call.response.body = "{\"status\":\"ready\",\"history\":\"ready\",\"broker\":\"ready\"}";
}

}  // namespace parley::bridge
