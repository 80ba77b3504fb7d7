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

Answer show_status(NodeAdmin& node, const std::string& /*name*/) {
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

Answer show_metrics(NodeAdmin& node, const std::string& /*name*/) {
  return {.status = 200, .type = "text/plain; version=0.0.4", .body = node.metrics()};
}

Answer show_nodes(NodeAdmin& node, const std::string& /*name*/) {
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
        .close('}');
  }
  json.close(']');
  return answer;
}

Answer show_slots(NodeAdmin& node, const std::string& /*name*/) {
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
        .close('}');
  }
  json.close(']');
  return answer;
}

Answer drain(NodeAdmin& node, const std::string& name) { return done(node.set_draining(name, true)); }
Answer undrain(NodeAdmin& node, const std::string& name) { return done(node.set_draining(name, false)); }
/// `NUMBER`, or `NUMBER:NODE`.
std::optional<std::uint64_t> slot_in(std::string_view name) {
  std::uint64_t slot = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), slot);
  const bool whole = end == name.data() + name.size();
  if (error != std::errc{} || (!whole && *end != ':')) return std::nullopt;
  return slot;
}
Answer refuse_slot() { return refuse(400, "no-slot", "A slot is a number."); }

Answer move(NodeAdmin& node, const std::string& name) {
  const auto slot = slot_in(name);
  const auto colon = name.find(':');
  if (!slot || colon == name.npos) return refuse_slot();
  return done(node.move_slot(*slot, name.substr(colon + 1)));
}
Answer release(NodeAdmin& node, const std::string& name) {
  const auto slot = slot_in(name);
  if (!slot || name.find(':') != name.npos) return refuse_slot();
  return done(node.release_slot(*slot));
}
Answer remove(NodeAdmin& node, const std::string& name) { return done(node.remove_node(name)); }

struct Call {
  std::string_view method;
  std::string_view before;  ///< The path, up to the name in it …
  std::string_view after;   ///< … and behind it; empty: the path has no name.
  Answer (*make)(NodeAdmin& node, const std::string& name);
};
constexpr std::array kCalls{
    Call{"GET", "/metrics", "", show_metrics},       Call{"GET", "/v1/status", "", show_status},
    Call{"GET", "/v1/nodes", "", show_nodes},        Call{"GET", "/v1/slots", "", show_slots},
    Call{"POST", "/v1/nodes/", "/drain", drain},     Call{"POST", "/v1/nodes/", "/undrain", undrain},
    Call{"POST", "/v1/nodes/", "/remove", remove},   Call{"POST", "/v1/slots/", "/move", move},
    Call{"POST", "/v1/slots/", "/release", release},
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
std::optional<std::string> name_in(const Call& call, std::string_view target) {
  if (call.after.empty()) return target == call.before ? std::optional<std::string>("") : std::nullopt;
  if (!target.starts_with(call.before) || !target.ends_with(call.after) ||
      target.size() <= call.before.size() + call.after.size()) {
    return std::nullopt;
  }
  const auto name = target.substr(call.before.size(), target.size() - call.before.size() - call.after.size());
  return name.find('/') == name.npos ? decoded(name) : std::nullopt;
}

std::string_view reason_of(unsigned status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    default: return "Conflict";
  }
}

}  // namespace

Answer answer(const Request& request, NodeAdmin& node) {
  bool known = false;
  for (const Call& call : kCalls) {
    const auto name = name_in(call, request.target);
    if (!name) continue;
    known = true;
    if (call.method == request.method) return call.make(node, *name);
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
