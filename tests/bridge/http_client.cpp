#include "tests/bridge/http_client.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace parley::bridge::test {
namespace {

constexpr int kPatience = 20'000;

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return result;
}

}  // namespace

HttpClient::HttpClient(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(socket_);
    throw std::runtime_error("cannot connect to the bridge");
  }
}

HttpClient::~HttpClient() { ::close(socket_); }

HttpReply HttpClient::request(std::string_view method, std::string_view target, const HttpFields& fields,
                              std::string_view body) {
  std::string text;
  text.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: bridge\r\n");
  for (const auto& [name, value] : fields) text.append(name).append(": ").append(value).append("\r\n");
  if (!body.empty()) text.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  send(text.append("\r\n").append(body));
  return read(method == "HEAD");
}

void HttpClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return;  // The server has closed; what it said is still to be read.
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

bool HttpClient::fill() {
  pollfd waited{.fd = socket_, .events = POLLIN};
  if (::poll(&waited, 1, kPatience) <= 0) return false;
  std::array<char, 65'536> bytes;
  const auto count = ::recv(socket_, bytes.data(), bytes.size(), 0);
  if (count <= 0) return false;
  input_.append(bytes.data(), static_cast<std::size_t>(count));
  return true;
}

std::string HttpClient::read_until(std::string_view end) {
  std::size_t at = 0;
  while ((at = input_.find(end)) == std::string::npos) {
    if (!fill()) return std::exchange(input_, {});
  }
  std::string text = input_.substr(0, at + end.size());
  input_.erase(0, text.size());
  return text;
}

HttpReply HttpClient::read_head() {
  HttpReply reply;
  const std::string head = read_until("\r\n\r\n");
  if (!head.starts_with("HTTP/1.")) return reply;
  reply.status = static_cast<unsigned>(std::stoul(head.substr(9, 3)));
  for (std::size_t begin = head.find("\r\n") + 2; begin + 2 < head.size();) {
    const auto end = head.find("\r\n", begin);
    const std::string line = head.substr(begin, end - begin);
    const auto colon = line.find(": ");
    if (colon != std::string::npos) reply.headers[lower(line.substr(0, colon))] = line.substr(colon + 2);
    begin = end + 2;
  }
  return reply;
}

HttpReply HttpClient::read(bool bodyless) {
  HttpReply reply = read_head();
  if (bodyless || !reply.headers.contains("content-length")) return reply;
  const auto size = std::stoul(reply.header("content-length"));
  while (input_.size() < size && fill()) continue;
  reply.body = input_.substr(0, size);
  input_.erase(0, size);
  return reply;
}

bool HttpClient::closed() {
  if (!input_.empty()) return false;
  pollfd waited{.fd = socket_, .events = POLLIN};
  if (::poll(&waited, 1, kPatience) <= 0) return false;
  char byte = 0;
  return ::recv(socket_, &byte, 1, MSG_PEEK) <= 0;
}

}  // namespace parley::bridge::test
