#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace parley::bridge::test {

struct HttpReply {
  unsigned status = 0;                         ///< 0: the connection ended first.
  std::map<std::string, std::string> headers;  ///< Names in lower case.
  std::string body;

  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

using HttpFields = std::vector<std::pair<std::string, std::string>>;

/// A blocking HTTP/1.1 client for one connection to 127.0.0.1. Reading gives up after twenty seconds.
class HttpClient {
 public:
  explicit HttpClient(std::uint16_t port);
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  HttpReply request(std::string_view method, std::string_view target, const HttpFields& fields = {},
                    std::string_view body = {});
  HttpReply get(std::string_view target, const HttpFields& fields = {}) { return request("GET", target, fields); }

  void send(std::string_view bytes);
  /// The next response; `bodyless` for the answer to HEAD.
  HttpReply read(bool bodyless = false);
  /// Header and nothing of the body.
  HttpReply read_head();
  /// What comes until `end`, that included; less when the connection ends.
  std::string read_until(std::string_view end);
  /// True when the server has closed the connection and nothing is left to read.
  bool closed();

 private:
  bool fill();
  int socket_ = -1;
  std::string input_;
};

}  // namespace parley::bridge::test
