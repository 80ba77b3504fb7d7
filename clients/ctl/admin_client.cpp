#include "clients/ctl/admin_client.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/json/parse.hpp>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "config/command_line.hpp"
#include "config/config.hpp"
#include "config/error.hpp"

namespace parley::ctl {
namespace {

namespace asio = boost::asio;

std::string read_all(asio::local::stream_protocol::socket& socket) {
  std::string response;
  boost::system::error_code error;
  asio::read(socket, asio::dynamic_buffer(response), error);
  if (error != asio::error::eof) throw std::runtime_error("the node doesn't answer: " + error.message());
  return response;
}

}  // namespace

std::string admin_socket(const std::string& socket, const std::string& config_file) {
  if (!socket.empty()) return socket;
  config::Config config = config::standard_config();
  if (!config_file.empty()) {
    const std::ifstream file(config_file);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) throw config::ConfigError("the configuration file \"" + config_file + "\" can't be read");
    config::read_file(config, text.str(), config_file);
  }
  return config.admin.socket.empty() ? config.node.data_dir + "/admin.sock" : config.admin.socket;
}

boost::json::value ask_node(const std::string& socket, const std::string& method, const std::string& path) {
  asio::io_context loop;
  asio::local::stream_protocol::socket connection(loop);
  boost::system::error_code error;
  if (socket.size() <= 107) connection.connect(asio::local::stream_protocol::endpoint(socket), error);
  if (error || !connection.is_open()) {
    throw std::runtime_error("no node answers at " + socket + (error ? ": " + error.message() : "") +
                             "; --socket or --config says where it is");
  }
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(connection.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const std::string request = method + " " + path + " HTTP/1.1\r\nHost: node\r\nContent-Length: 0\r\n\r\n";
  asio::write(connection, asio::buffer(request), error);
  const std::string response = read_all(connection);
  const auto body = response.find("\r\n\r\n");
  if (!response.starts_with("HTTP/1.1 ") || body == response.npos) {
    throw std::runtime_error("what answers at " + socket + " is no node");
  }
  auto value = boost::json::parse(std::string_view(response).substr(body + 4), error);
  if (error) throw std::runtime_error("the node's answer isn't understood: " + error.message());
  if (response.compare(9, 3, "200") == 0) return value;
  const auto* object = value.if_object();
  const auto* message = object == nullptr ? nullptr : object->if_contains("message");
  const auto* text = message == nullptr ? nullptr : message->if_string();
  throw std::runtime_error(text == nullptr ? "the node refuses" : std::string(text->data(), text->size()));
}

std::string percent_encoded(const std::string& name) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '-' ||
        byte == '.' || byte == '_') {
      encoded.push_back(c);
    } else {
      encoded.append({'%', kDigits[byte >> 4], kDigits[byte & 15]});
    }
  }
  return encoded;
}

}  // namespace parley::ctl
