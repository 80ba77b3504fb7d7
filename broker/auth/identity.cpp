#include "broker/auth/identity.hpp"

#include <algorithm>

#include "base/name.hpp"

namespace parley::auth {

std::optional<std::string> anonymous_user(const Credentials& credentials) {
  if (credentials.user_name && !credentials.user_name->empty()) {
    if (!is_name(*credentials.user_name)) return std::nullopt;
    return std::string(*credentials.user_name);
  }
  std::string user(credentials.client_id.substr(0, kNameSizeMax));
  for (char& c : user) {
    if (!is_name_character(c)) c = '_';
  }
  // A cut in the middle of a character would leave bytes that are no UTF-8.
  while (!user.empty() && credentials.client_id.size() > kNameSizeMax && (static_cast<unsigned char>(user.back()) & 0x80) != 0) {
    user.pop_back();
  }
  if (!user.empty() && user.front() == '$') user.front() = '_';
  return user.empty() ? std::string("_") : user;
}

}  // namespace parley::auth
