#include <MQTTClient.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

namespace {

int failed(const char* what, int code) {
  std::fprintf(stderr, "paho_c_echo: %s: %d %s\n", what, code,
               MQTTReasonCode_toString(static_cast<MQTTReasonCodes>(code)));
  return 1;
}

/// Publishes at every QoS and hears it all again.
int converse(MQTTClient client, const std::string& topic) {
  MQTTResponse subscribed = MQTTClient_subscribe5(client, topic.c_str(), 2, nullptr, nullptr);
  if (subscribed.reasonCode != MQTTREASONCODE_GRANTED_QOS_2) return failed("subscribe", subscribed.reasonCode);
  std::set<std::string> wanted;
  for (int qos = 0; qos <= 2; ++qos) {
    const std::string text = std::to_string(qos) + std::string(static_cast<std::size_t>(qos) * 70'000, 'x');
    wanted.insert(text);
    MQTTClient_deliveryToken token = 0;
    const MQTTResponse sent =
        MQTTClient_publish5(client, topic.c_str(), static_cast<int>(text.size()), text.data(), qos, 0, nullptr, &token);
    if (sent.reasonCode != MQTTREASONCODE_SUCCESS) return failed("publish", sent.reasonCode);
    if (const int waited = MQTTClient_waitForCompletion(client, token, 20'000); waited != MQTTCLIENT_SUCCESS)
      return failed("completion", waited);
  }
  while (!wanted.empty()) {
    char* name = nullptr;
    int name_size = 0;
    MQTTClient_message* message = nullptr;
    const int received = MQTTClient_receive(client, &name, &name_size, &message, 20'000);
    if (received != MQTTCLIENT_SUCCESS || message == nullptr) return failed("receive", received);
    wanted.erase(
        std::string(static_cast<const char*>(message->payload), static_cast<std::size_t>(message->payloadlen)));
    MQTTClient_freeMessage(&message);
    MQTTClient_free(name);
  }
  return 0;
}

}  // namespace

/// One Paho C client that hears itself at every QoS: paho_c_echo URI CA_FILE [CERTIFICATE KEY]. Ends with 0 when it
/// has. MQTT_USER and MQTT_PASSWORD are its credentials.
int main(int count, char** arguments) {
  if (count < 3) return 2;
  const std::string uri = arguments[1];
  MQTTClient_init_options init = MQTTClient_init_options_initializer;
  init.do_openssl_init = 1;
  MQTTClient_global_init(&init);
  MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
  create.MQTTVersion = MQTTVERSION_5;
  MQTTClient client = nullptr;
  if (const int made =
          MQTTClient_createWithOptions(&client, uri.c_str(), "echo-c", MQTTCLIENT_PERSISTENCE_NONE, nullptr, &create);
      made != MQTTCLIENT_SUCCESS)
    return failed("create", made);
  const bool secure = uri.starts_with("ssl:") || uri.starts_with("wss:");
  const bool web_socket = uri.starts_with("ws");
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
  if (web_socket) options = MQTTClient_connectOptions_initializer5_ws;
  MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;
  tls.trustStore = arguments[2];
  tls.verify = 1;
  if (count > 4) {
    tls.keyStore = arguments[3];
    tls.privateKey = arguments[4];
  }
  if (secure) options.ssl = &tls;
  options.cleanstart = 1;
  options.connectTimeout = 20;
  options.username = std::getenv("MQTT_USER");
  options.password = std::getenv("MQTT_PASSWORD");
  const MQTTResponse connected = MQTTClient_connect5(client, &options, nullptr, nullptr);
  if (connected.reasonCode != MQTTREASONCODE_SUCCESS) return failed("connect", connected.reasonCode);
  const int result = converse(client, "echo/c/" + uri.substr(0, uri.find(':')));
  MQTTClient_disconnect5(client, 2000, MQTTREASONCODE_SUCCESS, nullptr);
  MQTTClient_destroy(&client);
  return result;
}
