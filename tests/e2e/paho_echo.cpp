#include <mqtt/async_client.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

/// One Paho C++ client that hears itself at every QoS: paho_echo URI CA_FILE [CERTIFICATE KEY]. Ends with 0 when it
/// has. MQTT_USER and MQTT_PASSWORD are its credentials.
int main(int count, char** arguments) {
  if (count < 3) return 2;
  const std::string uri = arguments[1];
  const std::string topic = "echo/cpp/" + uri.substr(0, uri.find(':'));
  try {
    mqtt::async_client client(uri, "echo-cpp", mqtt::create_options(MQTTVERSION_5));
    mqtt::ssl_options tls;
    tls.set_trust_store(arguments[2]);
    if (count > 4) {
      tls.set_key_store(arguments[3]);
      tls.set_private_key(arguments[4]);
    }
    mqtt::connect_options options;
    options.set_mqtt_version(MQTTVERSION_5);
    options.set_clean_start(true);
    options.set_ssl(tls);
    if (const char* user = std::getenv("MQTT_USER")) options.set_user_name(user);
    if (const char* password = std::getenv("MQTT_PASSWORD")) options.set_password(std::string(password));
    client.start_consuming();
    client.connect(options)->wait_for(std::chrono::seconds(20));
    if (!client.is_connected()) return 1;
    client.subscribe(topic, 2)->wait_for(std::chrono::seconds(20));
    std::set<std::string> wanted;
    for (int qos = 0; qos <= 2; ++qos) {
      const std::string text = std::to_string(qos) + std::string(static_cast<std::size_t>(qos) * 70'000, 'x');
      wanted.insert(text);
      client.publish(topic, text.data(), text.size(), qos, false);
    }
    while (!wanted.empty()) {
      mqtt::const_message_ptr message;
      if (!client.try_consume_message_for(&message, std::chrono::seconds(20)) || !message) return 1;
      wanted.erase(message->to_string());
    }
    client.disconnect()->wait_for(std::chrono::seconds(20));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "paho_echo: %s\n", error.what());
    return 1;
  }
}
