/// One Paho C++ client in the conversation: paho_chat PORT VERSION NAME COUNT. It subscribes from the beginning, says
/// one thing, prints what it gets as JSON lines, and ends once it has COUNT messages (and its receipt, in MQTT 5).

#include <mqtt/async_client.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

namespace {

using namespace std::chrono_literals;

struct Options {
  std::string port;
  bool v5 = true;
  std::string name;
  int count = 0;

  [[nodiscard]] std::string reply() const { return "client/" + name + "/reply"; }
};

mqtt::properties user_property(const std::string& name, const std::string& value) {
  mqtt::properties properties;
  properties.add({mqtt::property::USER_PROPERTY, name, value});
  return properties;
}

/// `,"name":"value"` for each user property. The names and values of this test need no escapes.
std::string members(const mqtt::properties& properties) {
  std::string text;
  for (std::size_t i = 0; i < properties.count(mqtt::property::USER_PROPERTY); ++i) {
    const auto [name, value] = mqtt::get<mqtt::string_pair>(properties, mqtt::property::USER_PROPERTY, i);
    text += ",\"" + name + "\":\"" + value + "\"";
  }
  return text;
}

/// True when it was the receipt.
bool show(const Options& options, const mqtt::const_message_ptr& message) {
  const auto& properties = message->get_properties();
  if (message->get_topic() == options.reply()) {
    const auto user = members(properties);
    const auto correlation = mqtt::get<mqtt::binary>(properties, mqtt::property::CORRELATION_DATA);
    std::cout << R"({"receipt":{)" << user.substr(1) << R"(},"correlation":")" << correlation << "\"}" << std::endl;
    return true;
  }
  std::cout << R"({"message":")" << message->to_string() << R"(","retain":)"
            << (message->is_retained() ? "true" : "false") << members(properties) << "}" << std::endl;
  return false;
}

void connect(mqtt::async_client& client, const Options& options) {
  mqtt::connect_options connect;
  connect.set_mqtt_version(options.v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1);
  if (options.v5) {
    connect.set_clean_start(true);
  } else {
    connect.set_clean_session(true);
  }
  connect.set_user_name(options.name);
  client.connect(connect)->wait();
}

void speak(mqtt::async_client& client, const Options& options) {
  const auto message = mqtt::make_message("chat/lobby/msg", "hello from " + options.name, 1, false);
  if (!options.v5) {
    client.subscribe("$since/0/chat/lobby/msg", 1)->wait();
  } else {
    client.subscribe(options.reply(), 1)->wait();
    client.subscribe("chat/lobby/msg", 1, mqtt::subscribe_options(), user_property("since", "0"))->wait();
    auto properties = user_property("id", options.name + "-1");
    properties.add({mqtt::property::RESPONSE_TOPIC, options.reply()});
    properties.add({mqtt::property::CORRELATION_DATA, options.name});
    message->set_properties(properties);
  }
  client.publish(message)->wait();
}

int chat(const Options& options) {
  mqtt::async_client client("tcp://127.0.0.1:" + options.port, options.name,
                            mqtt::create_options(options.v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1));
  client.start_consuming();
  connect(client, options);
  speak(client, options);
  int messages = 0;
  bool receipt = !options.v5;
  while (messages < options.count || !receipt) {
    mqtt::const_message_ptr message;
    if (!client.try_consume_message_for(&message, 30s) || !message) {
      std::cerr << "only " << messages << " messages" << std::endl;
      return 1;
    }
    if (show(options, message)) {
      receipt = true;
    } else {
      ++messages;
    }
  }
  client.disconnect()->wait();
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) return 2;
  try {
    return chat({.port = arguments[1],
                 .v5 = std::string(arguments[2]) == "5",
                 .name = arguments[3],
                 .count = std::atoi(arguments[4])});
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
}
