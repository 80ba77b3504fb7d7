#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace parley::bridge {

/// True when an Accept-Encoding field value admits gzip. RFC 9110 §12.5.3.
bool accepts_gzip(std::string_view accept_encoding);

/// Turns bodies into gzip members (RFC 1952). Belongs to one thread and keeps its 260 kB from one body to the next.
class Gzip {
 public:
  /// Bodies below this are not worth it.
  static constexpr std::size_t kWorthwhile = 1'400;

  Gzip();
  ~Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  /// Replaces `body`; false, and `body` stays, when zlib can't.
  bool compress(std::string& body);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
  std::string buffer_;
};

}  // namespace parley::bridge
