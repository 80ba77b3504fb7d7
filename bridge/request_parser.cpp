#include "bridge/request_parser.hpp"

#include <array>
#include <boost/beast/http/basic_parser.hpp>
#include <new>
#include <optional>

namespace parley::bridge {
namespace {

namespace http = boost::beast::http;

struct FieldRule {
  http::field field;
  std::string Request::*place;
};
constexpr std::array kFields{FieldRule{http::field::authorization, &Request::authorization},
                             FieldRule{http::field::content_type, &Request::content_type},
                             FieldRule{http::field::if_none_match, &Request::if_none_match},
                             FieldRule{http::field::accept_encoding, &Request::accept_encoding}};

/// Fields that Beast has no number for.
struct NamedFieldRule {
  std::string_view name;
  std::string Request::*place;
};
constexpr std::array kNamedFields{NamedFieldRule{"idempotency-key", &Request::idempotency_key},
                                  NamedFieldRule{"last-event-id", &Request::last_event_id}};

Method method_of(http::verb verb) {
  switch (verb) {
    case http::verb::get: return Method::Get;
    case http::verb::head: return Method::Head;
    case http::verb::post: return Method::Post;
    case http::verb::patch: return Method::Patch;
    case http::verb::delete_: return Method::Delete;
    case http::verb::options: return Method::Options;
    default: return Method::Other;
  }
}

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

void Request::clear() {
  method = Method::Other;
  http_1_0 = keep_alive = has_host = expects_continue = false;
  for (std::string* text : {&target, &authorization, &content_type, &idempotency_key, &if_none_match, &accept_encoding,
                            &last_event_id, &body}) {
    text->clear();
  }
}

class RequestParser::Parser final : public http::basic_parser<true> {
 public:
  Parser(Request& request, const RequestLimits& limits) : request_(request) {
    eager(true);
    header_limit(limits.header_max);
    body_limit(limits.body_max);
  }

  bool complete = false;

 private:
  using Error = boost::beast::error_code;
  using View = boost::beast::string_view;

  void on_request_impl(http::verb method, View, View target, int version, Error&) override {
    request_.method = method_of(method);
    request_.target.assign(target.data(), target.size());
    request_.http_1_0 = version < 11;
  }
  void on_response_impl(int, View, int, Error&) override {}

  void on_field_impl(http::field field, View name, View value, Error&) override {
    if (field == http::field::host) request_.has_host = true;
    if (field == http::field::expect) request_.expects_continue = boost::beast::iequals(value, "100-continue");
    for (const auto& rule : kFields) {
      if (rule.field == field) (request_.*rule.place).assign(value.data(), value.size());
    }
    if (field != http::field::unknown) return;
    for (const auto& rule : kNamedFields) {
      if (boost::beast::iequals(name, View(rule.name.data(), rule.name.size()))) {
        (request_.*rule.place).assign(value.data(), value.size());
      }
    }
  }

  void on_header_impl(Error&) override { request_.keep_alive = keep_alive(); }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Error&) override {}
  std::size_t on_body_impl(View body, Error&) override {
    request_.body.append(view(body));
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, View, Error&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View body, Error&) override {
    request_.body.append(view(body));
    return body.size();
  }
  void on_finish_impl(Error&) override { complete = true; }

  Request& request_;
};

RequestParser::RequestParser(RequestLimits limits) : limits_(limits) {}
RequestParser::~RequestParser() = default;

void RequestParser::start(Request& request) {
  request.clear();
  parser_ = std::make_unique<Parser>(request, limits_);
}

bool RequestParser::started() const { return parser_->got_some(); }

RequestParser::State RequestParser::put(std::string_view bytes, std::size_t& used) {
  boost::beast::error_code error;
  used = bytes.empty() ? 0 : parser_->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  if (error && error != http::error::need_more) {
    problem_ = error == http::error::header_limit ? Problem::HeaderTooLarge
               : error == http::error::body_limit ? Problem::TooLarge
                                                  : Problem::MalformedRequest;
    return State::Failed;
  }
  if (parser_->is_done()) return State::Complete;
  return parser_->is_header_done() ? State::HeaderComplete : State::Incomplete;
}

}  // namespace parley::bridge
