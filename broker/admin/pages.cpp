#include "broker/admin/pages.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <utility>

#include "json/entry_json.hpp"

namespace parley::admin {
namespace {

/// Writes one JSON object or array after the other's members; commas come by themselves.
class Json {
 public:
  explicit Json(std::string& to) : to_(to) {}

  Json& open(char bracket) {
    separate();
    to_.push_back(bracket);
    first_ = true;
    return *this;
  }
  Json& close(char bracket) {
    to_.push_back(bracket);
    first_ = false;
    return *this;
  }
  Json& name(std::string_view text) {
    value(text);
    to_.push_back(':');
    first_ = true;
    return *this;
  }
  Json& value(std::string_view text) {
    separate();
    json::append_string(to_, text);
    return *this;
  }
  Json& value(const std::string& text) { return value(std::string_view(text)); }
  Json& value(bool truth) { return raw(truth ? "true" : "false"); }
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) Json& value(Integer number) { return raw(std::to_string(number)); }
  Json& value(const std::vector<std::string>& list) {
    open('[');
    for (const std::string& text : list) value(text);
    return close(']');
  }
  template <class T>
  Json& member(std::string_view key, const T& what) {
    name(key);
    return value(what);
  }
  Json& null(std::string_view key) {
    name(key);
    return raw("null");
  }

 private:
  Json& raw(std::string_view text) {
    separate();
    to_.append(text);
    return *this;
  }
  void separate() {
    if (!std::exchange(first_, false)) to_.push_back(',');
  }

  std::string& to_;
  bool first_ = true;
};

Answer refuse(unsigned status, std::string_view word, std::string_view message) {
  Answer answer{.status = status, .body = {}};
  Json(answer.body).open('{').member("error", word).member("message", message).close('}');
  return answer;
}

Answer done(const std::optional<std::string>& why_not) {
  if (why_not) return refuse(409, "refused", *why_not);
  return {.status = 200, .body = "{\"ok\":true}"};
}

constexpr std::size_t kReasonMax = 256;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

/// What a call was asked.
struct Asked {
  std::string name;  ///< In the path.
  std::vector<std::pair<std::string, std::string>> parameters;

  [[nodiscard]] std::optional<std::string> get(std::string_view parameter) const {
    for (const auto& [key, value] : parameters) {
      if (key == parameter) return value;
    }
    return std::nullopt;
  }
};

Answer show_status(NodeAdmin& node, const Asked& /*asked*/) {
  const NodeStatus status = node.status();
  Answer answer;
  Json json(answer.body);
  json.open('{')
      .member("node", status.node)
      .member("version", status.version)
      .member("pid", status.pid)
      .member("uptime_seconds", status.uptime_seconds)
      .member("threads", status.threads);
  if (!status.clustered) {
    json.null("cluster").close('}');
    return answer;
  }
  const auto nodes = node.nodes();
  const auto slots = node.slots();
  const auto count = [](const auto& list, auto condition) {
    return static_cast<std::size_t>(std::ranges::count_if(list, condition));
  };
  json.name("cluster")
      .open('{')
      .member("name", status.cluster)
      .member("id", status.cluster_id)
      .member("redis", status.redis)
      .member("clients", status.clients)
      .member("nodes", nodes.size())
      .member("nodes_up", count(nodes, [](const NodeRow& row) { return row.state == "self" || row.state == "up"; }))
      .member("slots", slots.size())
      .member("slots_led_here", count(slots, [&](const SlotRow& row) { return row.leader == status.node; }))
      .member("slots_without_leader", count(slots, [](const SlotRow& row) { return row.leader.empty(); }))
      .close('}')
      .close('}');
  return answer;
}

Answer show_metrics(NodeAdmin& node, const Asked& /*asked*/) {
  return {.status = 200, .type = "text/plain; version=0.0.4", .body = node.metrics()};
}

Answer show_nodes(NodeAdmin& node, const Asked& /*asked*/) {
  Answer answer;
  Json json(answer.body);
  json.open('[');
  for (const NodeRow& row : node.nodes()) {
    json.open('{')
        .member("name", row.name)
        .member("id", row.id)
        .member("address", row.address)
        .member("state", row.state)
        .member("since_seconds", row.since_seconds)
        .member("draining", row.draining)
        .member("leaving", row.leaving)
        .member("lease", row.has_lease)
        .member("slots", row.slots)
        .member("leading", row.leading)
        .member("round_trip_us", row.round_trip_us)
        .member("protocol", row.protocol)
        .close('}');
  }
  json.close(']');
  return answer;
}

Answer show_slots(NodeAdmin& node, const Asked& /*asked*/) {
  Answer answer;
  Json json(answer.body);
  json.open('[');
  for (const SlotRow& row : node.slots()) {
    json.open('{')
        .member("slot", row.slot)
        .member("leader", row.leader)
        .member("term", row.term)
        .member("replicas", row.replicas)
        .member("learners", row.learners)
        .member("pinned", row.pinned)
        .member("last", row.last)
        .member("commit", row.commit)
        .member("whole", row.whole)
        .close('}');
  }
  json.close(']');
  return answer;
}

Answer drain(NodeAdmin& node, const Asked& asked) { return done(node.set_draining(asked.name, true)); }
Answer undrain(NodeAdmin& node, const Asked& asked) { return done(node.set_draining(asked.name, false)); }
std::optional<std::uint64_t> number_in(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}
Answer refuse_slot() { return refuse(400, "no-slot", "A slot is a number."); }

Answer move(NodeAdmin& node, const Asked& asked) {
  const auto colon = asked.name.find(':');  // NUMBER:NODE
  const auto slot = number_in(std::string_view(asked.name).substr(0, colon));
  if (!slot || colon == asked.name.npos) return refuse_slot();
  return done(node.move_slot(*slot, asked.name.substr(colon + 1)));
}
Answer release(NodeAdmin& node, const Asked& asked) {
  const auto slot = number_in(asked.name);
  return slot ? done(node.release_slot(*slot)) : refuse_slot();
}
Answer remove(NodeAdmin& node, const Asked& asked) { return done(node.remove_node(asked.name)); }

void write(Json& json, const ClientRow& row) {
  json.open('{')
      .member("client_id", row.client_id)
      .member("user", row.user)
      .member("node", row.node)
      .member("connected", row.connected)
      .member("address", row.address)
      .member("transport", row.transport)
      .member("version", row.version)
      .member("connected_seconds", row.connected_seconds)
      .member("subscriptions", row.subscriptions)
      .member("inflight", row.inflight)
      .member("queued", row.queued)
      .member("expiry_seconds", row.expiry_seconds)
      .close('}');
}
Answer show(const ClientRow& row) {
  Answer answer;
  Json json(answer.body);
  write(json, row);
  return answer;
}

Answer show_clients(NodeAdmin& node, const Asked& asked) {
  ClientQuery query{.prefix = asked.get("prefix").value_or(""),
                    .user = asked.get("user"),
                    .after = asked.get("after").value_or(""),
                    .absent = asked.get("absent") == "true"};
  if (const auto limit = asked.get("limit")) {
    const auto number = number_in(*limit);
    if (!number || *number == 0 || *number > ClientQuery::kMax) {
      return refuse(400, "no-limit", "A limit is a number from 1 to " + std::to_string(ClientQuery::kMax) + ".");
    }
    query.limit = *number;
  }
  const auto rows = node.clients(query);
  if (!rows) return refuse(503, "busy", "The node is too busy to say.");
  Answer answer;
  Json json(answer.body);
  json.open('[');
  for (const ClientRow& row : *rows) write(json, row);
  json.close(']');
  return answer;
}

Answer show_client(NodeAdmin& node, const Asked& asked) {
  const auto row = node.client(asked.name);
  return row ? show(*row) : refuse(404, "no-such-client", "No node knows a client of this id.");
}

Answer kick(NodeAdmin& node, const Asked& asked) {
  const std::string reason = asked.get("reason").value_or("");
  if (reason.size() > kReasonMax || std::ranges::any_of(reason, is_control)) {
    return refuse(400, "no-reason", "A reason is a text of up to " + std::to_string(kReasonMax) + " bytes.");
  }
  const auto row = node.kick(asked.name, reason);
  return row ? show(*row) : refuse(404, "not-connected", "No client of this id is connected to any node.");
}

Answer erase(NodeAdmin& node, const Asked& asked) { return done(node.erase_user(asked.name)); }
Answer show_erasures(NodeAdmin& node, const Asked& /*asked*/) {
  Answer answer;
  Json json(answer.body);
  json.open('[');
  for (const ErasureRow& row : node.erasures()) {
    json.open('{')
        .member("user", row.user)
        .member("state", row.state)
        .member("started", row.started)
        .member("messages", row.messages)
        .member("slots", row.slots)
        .member("slots_done", row.slots_done)
        .member("slots_all", row.slots_all)
        .close('}');
  }
  json.close(']');
  return answer;
}

struct Call {
  std::string_view method;
  std::string_view before;  ///< The path; up to the name in it, if it ends with a slash …
  std::string_view after;   ///< … and behind the name.
  Answer (*make)(NodeAdmin& node, const Asked& asked);
  std::string_view parameters = "";  ///< Those that it takes, in spaces.
};
constexpr std::array kCalls{
    Call{"GET", "/metrics", "", show_metrics},
    Call{"GET", "/v1/status", "", show_status},
    Call{"GET", "/v1/nodes", "", show_nodes},
    Call{"GET", "/v1/slots", "", show_slots},
    Call{"POST", "/v1/nodes/", "/drain", drain},
    Call{"POST", "/v1/nodes/", "/undrain", undrain},
    Call{"POST", "/v1/nodes/", "/remove", remove},
    Call{"POST", "/v1/slots/", "/move", move},
    Call{"POST", "/v1/slots/", "/release", release},
    Call{"GET", "/v1/clients", "", show_clients, " prefix user after limit absent "},
    Call{"GET", "/v1/clients/", "", show_client},
    Call{"POST", "/v1/clients/", "/kick", kick, " reason "},
    Call{"POST", "/v1/users/", "/erase", erase},
    Call{"GET", "/v1/erasures", "", show_erasures},
};

std::optional<std::string> decoded(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    if (text.front() != '%') {
      plain.push_back(text.front());
      text.remove_prefix(1);
      continue;
    }
    unsigned char byte = 0;
    const auto digits = text.substr(1, 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || error != std::errc{} || end != digits.data() + 2) return std::nullopt;
    plain.push_back(static_cast<char>(byte));
    text.remove_prefix(3);
  }
  return plain;
}

/// The name in the path; nothing when the call isn't meant.
std::optional<std::string> name_in(const Call& call, std::string_view path) {
  if (!call.before.ends_with('/')) return path == call.before ? std::optional<std::string>("") : std::nullopt;
  if (!path.starts_with(call.before) || !path.ends_with(call.after) ||
      path.size() <= call.before.size() + call.after.size()) {
    return std::nullopt;
  }
  const auto name = path.substr(call.before.size(), path.size() - call.before.size() - call.after.size());
  return name.find('/') == name.npos ? decoded(name) : std::nullopt;
}

/// Nothing when the query has something that the call doesn't take, or takes once only.
std::optional<std::vector<std::pair<std::string, std::string>>> parameters_in(const Call& call,
                                                                              std::string_view query) {
  std::vector<std::pair<std::string, std::string>> list;
  while (!query.empty()) {
    const auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    const auto key = pair.substr(0, equals);
    const auto value = decoded(equals == pair.npos ? std::string_view() : pair.substr(equals + 1));
    const bool takes = !key.empty() && call.parameters.find(std::string(" ").append(key) + " ") != key.npos;
    const bool twice = std::ranges::any_of(list, [key](const auto& one) { return one.first == key; });
    if (!value || !takes || twice) return std::nullopt;
    list.emplace_back(key, *value);
  }
  return list;
}

std::string_view reason_of(unsigned status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 503: return "Service Unavailable";
    default: return "Conflict";
  }
}

}  // namespace

Answer answer(const Request& request, NodeAdmin& node) {
  bool known = false;
  const auto path = request.target.substr(0, request.target.find('?'));
  const auto query = request.target.substr(std::min(request.target.size(), path.size() + 1));
  for (const Call& call : kCalls) {
    auto name = name_in(call, path);
    if (!name) continue;
    known = true;
    if (call.method != request.method) continue;
    auto parameters = parameters_in(call, query);
    if (!parameters) return refuse(400, "no-such-parameter", "The query has something that this call doesn't take.");
    return call.make(node, {.name = *std::move(name), .parameters = *std::move(parameters)});
  }
  if (known) return refuse(405, "method-not-allowed", "This path doesn't take this method.");
  return refuse(404, "no-such-resource", "There is nothing at this path.");
}

std::string http_response(const Answer& answer) {
  std::string response = "HTTP/1.1 " + std::to_string(answer.status) + " ";
  response.append(reason_of(answer.status))
      .append("\r\nContent-Type: ")
      .append(answer.type)
      .append("\r\nConnection: close\r\nContent-Length: ")
      .append(std::to_string(answer.body.size() + 1))
      .append("\r\n\r\n")
      .append(answer.body)
      .append("\n");
  return response;
}

}  // namespace parley::admin
