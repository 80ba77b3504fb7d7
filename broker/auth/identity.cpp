#include "broker/auth/identity.hpp"

#include <algorithm>

#include "base/name.hpp"

namespace parley::auth {
namespace {

/// As much of well-formed text as a name may hold, without half a character at its end.
std::string_view cut_to_name(std::string_view text) {
  std::size_t size = std::min(text.size(), kNameSizeMax);
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

}  // namespace

std::optional<std::string> anonymous_user(const Credentials& credentials) {
  if (credentials.user_name && !credentials.user_name->empty()) {
    if (!is_name(*credentials.user_name)) return std::nullopt;
    return std::string(*credentials.user_name);
  }
  std::string user(cut_to_name(credentials.client_id));
  for (char& c : user) {
    if (!is_name_character(c)) c = '_';
  }
  if (!user.empty() && user.front() == '$') user.front() = '_';
  return user.empty() ? std::string("_") : user;
}

}  // namespace parley::auth
