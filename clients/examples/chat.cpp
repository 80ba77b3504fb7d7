/// A chat client in one conversation, with Paho C++ 1.2. README.md says what one types.
///
///     chat HOST PORT USER PASSWORD CONVERSATION [SINCE]

#include <mqtt/async_client.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <string>

namespace {

using namespace std::chrono_literals;
using mqtt::property;

std::string unique_id() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 4; ++i) id += std::to_string(random()) + "-";
  return id;
}

std::string user_property(const mqtt::properties& properties, const std::string& name) {
  for (std::size_t i = 0; i < properties.count(property::USER_PROPERTY); ++i) {
    const auto [key, value] = mqtt::get<mqtt::string_pair>(properties, property::USER_PROPERTY, i);
    if (key == name) return value;
  }
  return {};
}

void show(const std::string& line) { std::cout << line << std::endl; }

class Chat {
 public:
  Chat(const std::string& server, const std::string& user, std::string conversation, std::uint64_t since)
      : conversation_(std::move(conversation)),
        since_(since),
        client_id_("example-cpp-" + user + "-" + unique_id()),
        client_(server, client_id_, mqtt::create_options(MQTTVERSION_5)) {
    // Paho calls back on a thread of its own, which nothing here may keep waiting.
    client_.set_connected_handler([this](const std::string& /*cause*/) { connected(); });
    client_.set_message_callback([this](const mqtt::const_message_ptr& message) { received(*message); });
  }

  void connect(const std::string& user, const std::string& password) {
    mqtt::connect_options options;
    options.set_mqtt_version(MQTTVERSION_5);
    options.set_clean_start(true);
    options.set_user_name(user);
    options.set_password(password);
    options.set_automatic_reconnect(1, 8);
    client_.connect(options)->wait();
  }

  void type_in(const std::string& line) {
    const auto blank = line.find(' ');
    const std::string word = line.substr(0, blank);
    const std::string rest = blank == line.npos ? "" : line.substr(blank + 1);
    if (word == "/typing") return publish("typing", "", 0, {});
    if (word == "/read") return publish("read", rest, 1, {{property::RESPONSE_TOPIC, reply()}});
    if (word == "/edit") {  // The text needs no escapes here; a real client has a JSON library.
      const auto split = rest.find(' ');
      const std::string edit =
          R"({"op":"edit","seq":)" + rest.substr(0, split) + R"(,"text":")" + rest.substr(split + 1) + "\"}";
      return publish("ctl", edit, 1, {{property::RESPONSE_TOPIC, reply()}});
    }
    if (word.starts_with('/')) return show("unknown: " + word);
    const std::string id = unique_id();
    {
      const std::lock_guard lock(mutex_);
      outbox_[++number_] = {id, line};
    }
    if (client_.is_connected()) send(id, line);  // Else connected() does.
  }

  bool leave() {
    std::unique_lock lock(mutex_);
    const bool everything = changed_.wait_for(lock, 30s, [this] { return outbox_.empty(); });
    lock.unlock();
    client_.disconnect()->wait();
    return everything;
  }

 private:
  struct Message {
    std::string id;
    std::string text;
  };

  [[nodiscard]] std::string topic(const std::string& what) const { return "chat/" + conversation_ + "/" + what; }
  [[nodiscard]] std::string reply() const { return "client/" + client_id_ + "/reply"; }

  /// The first time, and whenever the connection is there again.
  void connected() {
    show("connected: Success");
    client_.subscribe(reply(), 1);
    client_.subscribe(topic("typing"), 0);
    client_.subscribe(topic("read"), 0);
    mqtt::properties where{{property::USER_PROPERTY, "since", std::to_string(since_)}};
    client_.subscribe(topic("msg"), 1, mqtt::subscribe_options(), where);
    // Nobody knows whether these have arrived. With the same id each of them counts once.
    const std::lock_guard lock(mutex_);
    for (const auto& [number, message] : outbox_) send(message.id, message.text);
  }

  void send(const std::string& id, const std::string& text) {
    // Paho doesn't show PUBACK's properties, so the receipt is asked for where it can be seen.
    publish("msg", text, 1,
            {{property::PAYLOAD_FORMAT_INDICATOR, 1},
             {property::USER_PROPERTY, "id", id},
             {property::RESPONSE_TOPIC, reply()},
             {property::CORRELATION_DATA, id}});
  }

  void publish(const std::string& what, const std::string& payload, int qos, const mqtt::properties& properties) {
    client_.publish(mqtt::message::create(topic(what), payload, qos, false, properties));
  }

  void received(const mqtt::message& message) {
    const auto& properties = message.get_properties();
    const std::string what = message.get_topic().substr(message.get_topic().rfind('/') + 1);
    if (what == "reply" && properties.contains(property::CORRELATION_DATA) &&
        user_property(properties, "retry-after").empty()) {
      const auto id = mqtt::get<std::string>(properties, property::CORRELATION_DATA);
      const std::lock_guard lock(mutex_);
      std::erase_if(outbox_, [&id](const auto& one) { return one.second.id == id; });
      changed_.notify_all();
    }
    if (what != "msg") return show(what + " " + message.to_string());
    const std::string kind = user_property(properties, "kind");
    if (kind == "gap") {  // Retention has taken away what would come here.
      return show("#" + user_property(properties, "first") + " to #" + user_property(properties, "last") + " are gone");
    }
    const std::uint64_t seq = std::stoull(user_property(properties, "seq"));
    if (seq <= since_) return;
    since_ = seq;
    const std::string ref = kind.empty() ? "" : " " + kind + " #" + user_property(properties, "ref");
    show("#" + std::to_string(seq) + " " + user_property(properties, "from") + ref + ": " + message.to_string());
  }

  const std::string conversation_;
  std::uint64_t since_;  ///< The last entry that was shown, where the next connection begins. Paho's thread's.
  const std::string client_id_;
  std::mutex mutex_;  ///< Guards outbox_.
  std::condition_variable changed_;
  std::map<std::uint64_t, Message> outbox_;  ///< Messages without a receipt, in their order.
  std::uint64_t number_ = 0;
  mqtt::async_client client_;
};

}  // namespace

int main(int count, char** arguments) {
  if (count < 6) return 2;
  try {
    Chat chat("tcp://" + std::string(arguments[1]) + ":" + arguments[2], arguments[3], arguments[5],
              count > 6 ? std::stoull(arguments[6]) : 0);
    chat.connect(arguments[3], arguments[4]);
    for (std::string line; std::getline(std::cin, line);) chat.type_in(line);
    return chat.leave() ? 0 : 1;
  } catch (const std::exception& error) {
    show(std::string("connected: ") + error.what());
    return 1;
  }
}
