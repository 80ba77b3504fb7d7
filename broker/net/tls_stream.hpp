#pragma once

#include <sys/uio.h>

#include <memory>
#include <span>
#include <string>

#include "broker/net/io_result.hpp"
#include "broker/net/tls_context.hpp"

namespace parley::net {

/// TLS on one socket: OpenSSL reads and writes it by itself, so no byte is kept between. Belongs to the connection's
/// thread, but while the handshake pool has it.
///
/// Memory: about 10 kB of OpenSSL's while idle; buffers of 17 kB come and go with what is under way.
class TlsStream {
 public:
  /// `socket` lives longer.
  TlsStream(std::shared_ptr<const TlsContext> context, int socket);

  enum class Handshake { WantsRead, WantsWrite, Finished, Failed };
  /// Goes on as far as it can without waiting; costs up to some milliseconds of processor time. `why` is set when it
  /// has failed.
  Handshake shake_hands(std::string& why);

  /// `buffer` holds a record (16 KiB) at least. There may be bytes and an end.
  IoResult read(std::span<char> buffer);
  /// Encrypts what fits into one record, and sends it. After Blocked the same bytes must come again, more may follow.
  IoResult write(std::span<const iovec> pieces);
  /// Tells the client that nothing more comes.
  void say_goodbye();

  [[nodiscard]] std::string certificate_user() const { return context_->certificate_user(ssl_.get()); }

 private:
  std::shared_ptr<const TlsContext> context_;
  SslPtr ssl_;
};

}  // namespace parley::net
