#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/auth/scram.hpp"

/// Two messages of a client, separated by a line's end: nobody gets in without the password, and names come out whole.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley::auth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto verifier = read_scram_verifier(text)) {
    if (read_scram_verifier(write_scram_verifier(*verifier)) != verifier) __builtin_trap();
  }
  const auto end = text.find('\n');
  ScramExchange exchange{"server-nonce"};
  const auto user = exchange.begin(text.substr(0, end));
  if (!user) return 0;
  if (user->empty() || user->size() > size) __builtin_trap();
  static const ScramVerifier kVerifier{.iterations = kScramIterationsMin,
                                       .salt = "0123456789abcdef",
                                       .stored_key = std::string(32, 's'),
                                       .server_key = std::string(32, 'k')};
  if (!exchange.challenge(kVerifier).ends_with(",s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096")) __builtin_trap();
  // The stored key was not made from any password.
  if (end != text.npos && exchange.finish(text.substr(end + 1))) __builtin_trap();
  return 0;
}
