#pragma once

#include <sys/uio.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "broker/net/io_result.hpp"
#include "broker/net/tls_context.hpp"
#include "broker/net/tls_records.hpp"
#include "broker/net/tls_secrets.hpp"

namespace parley::net {

/// TLS on one socket. OpenSSL shakes hands; then its object goes, and TlsRecords goes on. It stays where a client asked
/// for smaller records (TlsSecrets). Belongs to the connection's thread, but while the handshake pool has it.
///
/// Memory while idle: 400 bytes, 13 kB where OpenSSL stays. A record that hasn't come or isn't written whole is held
/// besides, in pieces of no more than 17 kB and 66 kB.
class TlsStream {
 public:
  /// `socket` lives longer.
  TlsStream(std::shared_ptr<const TlsContext> context, int socket);

  enum class Handshake { WantsRead, WantsWrite, Finished, Failed };
  /// Goes on as far as it can without waiting; costs up to some milliseconds of processor time. `why` is set when it
  /// has failed.
  Handshake shake_hands(std::string& why);

  /// `buffer` holds two records (33 KiB) at least. There may be bytes and an end.
  IoResult read(std::span<char> buffer);
  /// Encrypts and sends what fits into a few records. What it reports as written is sent or held, even if it is
  /// Blocked then; of what it doesn't report, the same bytes must come again, more may follow.
  IoResult write(std::span<const iovec> pieces);
  /// Sends what is held, and what the protocol itself has to say.
  IoResult::Status flush();
  /// Whether flush() has something to do.
  [[nodiscard]] bool has_to_flush() const;
  /// Tells the client that nothing more comes.
  void say_goodbye();

  /// Why the client's records ended the connection, if they did.
  [[nodiscard]] std::string_view failure() const { return failure_; }
  /// Whether the handshake, which is over, took up an earlier session.
  [[nodiscard]] bool resumed() const { return resumed_; }
  /// What its certificate says; empty before the handshake is over.
  [[nodiscard]] const std::string& certificate_user() const { return certificate_user_; }

 private:
  void finish_handshake();
  IoResult read_openssl(std::span<char> buffer);
  IoResult write_openssl(std::span<const iovec> pieces);

  std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<TlsSecrets> secrets_;  ///< During the handshake.
  SslPtr ssl_;                           ///< During the handshake, and after it when there are no records_.
  std::unique_ptr<TlsRecords> records_;
  std::unique_ptr<std::string> unread_;  ///< The beginning of a record.
  std::string unsent_;                   ///< Records, or the rest of one.
  std::string certificate_user_;
  std::string_view failure_;
  int socket_;
  bool resumed_ = false;
  bool has_said_last_ = false;  ///< An alert that ends our direction is sent or in unsent_.
};

}  // namespace parley::net
