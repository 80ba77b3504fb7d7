#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <set>

#include "mqtt/encode.hpp"
#include "tests/bridge/history_fixture.hpp"
#include "tests/clients/link/scripted_broker.hpp"

// bridge/openapi.json against the server: every documented path, method and status is met, nothing undocumented is, and
// bodies have the documented shape.

namespace parley::bridge {
namespace {

namespace json = boost::json;
using mqtt::ReasonCode;
using test::HttpClient;
using test::HttpFields;
using test::HttpReply;

constexpr std::string_view kMessages = "/v1/conversations/{id}/messages";
constexpr std::string_view kMessage = "/v1/conversations/{id}/messages/{seq}";
constexpr std::string_view kStream = "/v1/conversations/{id}/stream";

/// The part of JSON Schema that the document uses.
class Schemas {
 public:
  explicit Schemas(const json::value& document) : document_(document) {}

  std::string mismatch(const json::value& schema_or_reference, const json::value& value) const {
    const auto& schema = resolve(schema_or_reference).as_object();
    if (const auto* type = schema.if_contains("type"); type != nullptr && !has_type(*type, value)) {
      return json::serialize(value).substr(0, 100) + " is no " + json::serialize(*type);
    }
    if (const auto* required = schema.if_contains("required"); required != nullptr && value.is_object()) {
      for (const auto& name : required->as_array()) {
        if (!value.as_object().contains(name.as_string())) return std::string(name.as_string()) + " is missing";
      }
    }
    if (const auto* properties = schema.if_contains("properties"); properties != nullptr && value.is_object()) {
      for (const auto& [name, part] : properties->as_object()) {
        const auto* member = value.as_object().if_contains(name);
        const std::string wrong = member == nullptr ? "" : mismatch(part, *member);
        if (!wrong.empty()) return std::string(name) + ": " + wrong;
      }
    }
    if (const auto* items = schema.if_contains("items"); items != nullptr && value.is_array()) {
      for (const auto& item : value.as_array()) {
        const std::string wrong = mismatch(*items, item);
        if (!wrong.empty()) return wrong;
      }
    }
    return "";
  }

 private:
  const json::value& resolve(const json::value& schema) const {
    const auto* reference = schema.as_object().if_contains("$ref");
    return reference == nullptr ? schema : document_.at_pointer(std::string(reference->as_string()).substr(1));
  }
  static bool has_type(const json::value& type, const json::value& value) {
    if (type.is_array()) {
      for (const auto& one : type.as_array()) {
        if (has_type(one, value)) return true;
      }
      return false;
    }
    const auto& name = type.as_string();
    return (name == "object" && value.is_object()) || (name == "array" && value.is_array()) ||
           (name == "string" && value.is_string()) || (name == "null" && value.is_null()) ||
           (name == "integer" && (value.is_int64() || value.is_uint64()));
  }

  const json::value& document_;
};

class Contract : public test::HistoryFixture {
 protected:
  using Status = std::pair<std::string, std::string>;  ///< "get /path" and the status.

  void SetUp() override {
    std::ifstream file(PARLEY_SOURCE_DIR "/bridge/openapi.json");
    document_ = json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
    broker_ = std::make_unique<link::test::ScriptedBroker>(
        [this](const mqtt::Packet& packet, Output& to) { return serve(packet, to); });
    cut(conversation("talk", 100), 51);
    start({"--set", "bridge.broker=tcp://127.0.0.1:" + std::to_string(broker_->port())});
  }

  /// The payload, and of a command its text or else its id, says how it shall be refused: an error word, or "ok",
  /// "dup", "bare", "silence".
  bool serve(const mqtt::Packet& packet, Output& to) {
    const auto* publish = std::get_if<mqtt::Publish>(&packet);
    if (publish == nullptr) return link::test::polite(packet, to);
    std::string payload(publish->payload);
    if (publish->topic.ends_with("/ctl")) {
      const auto command = json::parse(payload).as_object();
      payload = command.at(command.contains("text") ? "text" : "id").as_string();
    }
    if (payload == "silence") return true;
    mqtt::PropertyWriter writer;
    auto reason = ReasonCode::Success;
    if (payload == "ok" || payload == "dup") {
      writer.user("seq", "101").user("ts", "1700000000000").user("id", "i");
      if (payload == "dup") writer.user("dup", "1");
    } else if (payload != "bare") {
      reason = ReasonCode::QuotaExceeded;
      writer.user("error", payload);
    }
    const mqtt::Ack ack{
        .packet_id = publish->packet_id, .reason = reason, .properties = mqtt::Properties::trusted(writer.bytes())};
    mqtt::encode(to, ack, mqtt::ProtocolVersion::V5);
    return true;
  }

  /// Checks one reply against what the document says about `method` `path`, and notes that it was met.
  void meet(std::string_view method, std::string_view path, const HttpReply& reply) {
    const std::string operation = std::string(method) + " " + std::string(path);
    const std::string status = std::to_string(reply.status);
    met_.emplace(operation, status);
    const auto& responses = document_.at("paths").at(path).at(method).at("responses").as_object();
    const auto* response = responses.if_contains(status);
    if (response == nullptr) {
      ADD_FAILURE() << operation << " answers with the undocumented status " << status << ": " << reply.body;
      return;
    }
    const auto* content = response->as_object().if_contains("content");
    if (content == nullptr) {
      EXPECT_EQ(reply.body, "") << operation << " " << status;
      return;
    }
    std::string type = reply.header("content-type");
    type = type.substr(0, type.find(';'));
    const auto* documented = content->as_object().if_contains(type);
    ASSERT_NE(documented, nullptr) << operation << " " << status << " is of the undocumented type " << type;
    if (!type.ends_with("json")) return;
    EXPECT_EQ(Schemas(document_).mismatch(documented->at("schema"), json::parse(reply.body)), "")
        << operation << " " << status << ": " << reply.body;
  }

  std::set<Status> documented() const {
    std::set<Status> all;
    for (const auto& [path, item] : document_.at("paths").as_object()) {
      for (const auto* method : {"get", "post", "put", "patch", "delete"}) {
        const auto* operation = item.as_object().if_contains(method);
        if (operation == nullptr) continue;
        for (const auto& [status, response] : operation->at("responses").as_object()) {
          if (status != "default") all.emplace(std::string(method) + " " + std::string(path), std::string(status));
        }
      }
    }
    return all;
  }

  void read_pages(std::string_view path, bool stream) {
    const std::string talk = "/v1/conversations/talk/" + std::string(stream ? "stream" : "messages");
    meet("get", path, get(talk + "?nonsense=1"));
    meet("get", path, get("/v1/conversations/nobody/" + std::string(stream ? "stream" : "messages")));
    meet("get", path, get(talk + "?after=seq:60&epoch=3"));
    meet("get", path, get(talk + "?after=seq:5"));
    meet("get", path, get(talk + "?after=seq:500"));
  }

  HttpReply post(std::string_view text, const HttpFields& fields = {}, std::string_view type = "text/plain") {
    HttpFields all{{"Authorization", "Basic YW5uOg=="}, {"Content-Type", std::string(type)}};
    all.insert(all.end(), fields.begin(), fields.end());
    return client_->request("POST", "/v1/conversations/talk/messages", all, text);
  }

  HttpReply change(std::string_view method, std::string_view text, const HttpFields& fields = {},
                   std::string_view type = "text/plain") {
    HttpFields all{{"Authorization", "Basic YW5uOg=="}};
    if (method == "PATCH") all.emplace_back("Content-Type", type);
    all.insert(all.end(), fields.begin(), fields.end());
    return client_->request(method, "/v1/conversations/talk/messages/60", all, text);
  }

  json::value document_;
  std::set<Status> met_;
  std::unique_ptr<link::test::ScriptedBroker> broker_;
};

TEST_F(Contract, IsWhatTheServerDoes) {
  const auto reference = get("/openapi.json");
  meet("get", "/openapi.json", reference);
  EXPECT_EQ(json::parse(reference.body), document_);
  meet("get", "/healthz", get("/healthz"));
  meet("get", "/metrics", get("/metrics"));
  meet("get", "/readyz", get("/readyz"));

  read_pages(kMessages, false);
  const auto page = get("/v1/conversations/talk/messages?after=seq:60&limit=5");
  meet("get", kMessages, page);
  meet("get", kMessages,
       get("/v1/conversations/talk/messages?after=seq:60&limit=5", {{"If-None-Match", page.header("etag")}}));
  read_pages(kStream, true);
  {
    HttpClient streaming(bridge_->port());
    streaming.send("GET /v1/conversations/talk/stream HTTP/1.1\r\nHost: h\r\n\r\n");
    meet("get", kStream, streaming.read_head());
  }

  for (const auto* text :
       {"ok", "dup", "bare", "not-authorized", "too-large", "unsupported", "busy", "rate", "disk-full", "silence"}) {
    meet("post", kMessages, post(text));
  }
  meet("post", kMessages, post("{", {}, "application/json"));
  meet("post", kMessages, post("x", {}, "image/png"));
  meet("post", kMessages, client_->request("POST", "/v1/conversations/talk/messages", {}, "x"));

  meet("delete", kMessage, change("DELETE", "", {{"Idempotency-Key", "bare"}}));
  for (const auto* word : {"ok", "strange", "not-authorized", "not-found", "too-late", "too-large", "unsupported",
                           "busy", "rate", "disk-full", "silence"}) {
    meet("patch", kMessage, change("PATCH", word));
    if (std::string_view(word) == "too-late" || std::string_view(word) == "too-large") continue;
    if (std::string_view(word) == "rate") continue;
    meet("delete", kMessage, change("DELETE", "", {{"Idempotency-Key", word}}));
  }
  meet("patch", kMessage, change("PATCH", "{", {}, "application/json"));
  meet("patch", kMessage, change("PATCH", "x", {}, "image/png"));
  meet("patch", kMessage, client_->request("PATCH", "/v1/conversations/talk/messages/60", {}, "x"));
  meet("delete", kMessage, change("DELETE", "a body"));
  meet("delete", kMessage, client_->request("DELETE", "/v1/conversations/talk/messages/60", {}, ""));

  // A broker that lets nobody in.
  link::test::ScriptedBroker closed([](const mqtt::Packet&, Output& to) {
    mqtt::encode(to, mqtt::Connack{.reason = ReasonCode::NotAuthorized}, mqtt::ProtocolVersion::V5);
    return false;
  });
  const test::BridgeProcess guarded(
      data_dir(), {"--set", "bridge.allow_anonymous=false", "--set", "auth.users_file=the broker reads it", "--set",
                   "bridge.broker=tcp://127.0.0.1:" + std::to_string(closed.port())});
  HttpClient stranger(guarded.port());
  const HttpFields ann{{"Authorization", "Basic YW5uOng="}};
  meet("get", kMessages, stranger.get("/v1/conversations/talk/messages", ann));
  meet("get", kStream, stranger.get("/v1/conversations/talk/stream", ann));

  // Where nobody may be anonymous, and where there is no history and no broker.
  broker_.reset();
  const storage::test::TemporaryDirectory nothing;
  const test::BridgeProcess empty(nothing.path(), {"--set", "bridge.broker=tcp://127.0.0.1:1"});
  HttpClient without(empty.port());
  meet("get", "/readyz", without.get("/readyz"));
  meet("get", kMessages, without.get("/v1/conversations/talk/messages"));
  meet("get", kStream, without.get("/v1/conversations/talk/stream"));
  const test::BridgeProcess strict(data_dir(), {"--set", "bridge.allow_anonymous=false"});
  HttpClient unknown(strict.port());
  meet("get", kMessages, unknown.get("/v1/conversations/talk/messages"));
  meet("get", kStream, unknown.get("/v1/conversations/talk/stream"));

  EXPECT_EQ(met_, documented()) << "every documented path and status is met, and no other";
}

}  // namespace
}  // namespace parley::bridge
