#include "config/listener_settings.hpp"

#include <algorithm>
#include <array>

#include "config/error.hpp"
#include "config/network.hpp"

namespace parley::config {
namespace {

constexpr std::string_view kSecure = "tls|wss";

constexpr std::array kSettings{
    ListenerSetting{"allow_anonymous", &Listener::allow_anonymous, "true, false",
                    "true where only this machine comes in", "",
                    "Whether clients without credentials may name their user by themselves, but for those of the users "
                    "file. Loopback and Unix sockets only."},
    ListenerSetting{"proxy_protocol", &Listener::proxy_protocol, "array of networks", "[]", "",
                    "Load balancers that send a PROXY header (version 1 or 2): addresses, networks such as "
                    "`10.0.0.0/8`, or `unix`. They must send it, and nobody else may connect."},
    ListenerSetting{
        "origins", &Listener::origins, "array of texts", "[]", "ws|wss",
        "Origins of web pages that may connect, such as `https://chat.example.org`; `*`: all. Clients that "
        "name no origin are no browsers, and may; so may those whose origin is the address (not a name) that they "
        "connect to."},
    ListenerSetting{"certificate_directory", &Listener::certificate_directory, "text", "", kSecure,
                    "A directory with a `NAME.key` beside each `NAME.crt`: further certificates, taken in the order of "
                    "their names."},
    ListenerSetting{"tls_min", &Listener::tls_min, "1.2|1.3", "1.2", kSecure, "The oldest TLS version that is spoken."},
    ListenerSetting{"client_certificate", &Listener::client_certificate, "none|optional|required", "none", kSecure,
                    "Whether clients are asked for a certificate, and must have one."},
    ListenerSetting{"client_ca", &Listener::client_ca, "text", "", kSecure,
                    "File with the authorities that sign clients' certificates (PEM)."},
    ListenerSetting{"client_crl", &Listener::client_crl, "text", "", kSecure,
                    "File with the authorities' lists of revoked certificates (PEM); none: nothing is revoked."},
    ListenerSetting{
        "certificate_user", &Listener::certificate_user, "cn|dns|email|uri", "cn", kSecure,
        "What of a client's certificate names its user: the subject's common name, or the first alternative "
        "name of that kind."},
};

bool has_word(std::string_view words, std::string_view wanted) {
  while (!words.empty()) {
    const auto end = std::min(words.find('|'), words.size());
    if (words.substr(0, end) == wanted) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

std::string listed(std::string_view words) {
  std::string text(words);
  for (auto at = text.find('|'); at != text.npos; at = text.find('|', at + 2)) text.replace(at, 1, ", ");
  return text;
}

[[noreturn]] void refuse(const Listener& listener, std::string_view why) {
  throw ConfigError("listener " + url_of(listener) + " " + std::string(why));
}

void check_security(const Listener& listener) {
  if (!listener.is_secure()) return;
  if (listener.certificates.empty() && listener.certificate_directory.empty()) {
    refuse(listener, "needs a [[listener.certificate]] or a certificate_directory");
  }
  if (listener.client_certificate != "none" && listener.client_ca.empty()) {
    refuse(listener, "asks for clients' certificates, and so needs client_ca");
  }
}

}  // namespace

std::span<const ListenerSetting> listener_settings() { return kSettings; }

const ListenerSetting& find_listener_setting(const Listener& listener, std::string_view name) {
  const auto found = std::ranges::find(kSettings, name, &ListenerSetting::name);
  if (found == kSettings.end()) {
    std::string known = "url, certificate";
    for (const ListenerSetting& setting : kSettings) known.append(", ").append(setting.name);
    throw ConfigError("unknown setting \"listener." + std::string(name) + "\"; a listener has " + known);
  }
  const std::string url = url_of(listener);
  if (!found->schemes.empty() && !has_word(found->schemes, std::string_view(url).substr(0, url.find(':')))) {
    refuse(listener, std::string(name).append(" has no use here; it belongs to ").append(listed(found->schemes)));
  }
  return *found;
}

void check(const Listener& listener, bool authenticates) {
  for (const std::string& network : listener.proxy_protocol) {
    if (network != "unix" && !read_network(network)) {
      refuse(listener, "has \"" + network + "\" in proxy_protocol, which is no network such as 10.0.0.0/8");
    }
  }
  for (const ListenerSetting& setting : kSettings) {
    const auto* place = std::get_if<std::string Listener::*>(&setting.place);
    if (place == nullptr || setting.values.find('|') == std::string_view::npos) continue;
    if (!has_word(setting.values, listener.**place)) {
      refuse(listener, std::string(setting.name).append(" must be one of ").append(setting.values));
    }
  }
  check_security(listener);
  if (!listener.is_local() && listener.allow_anonymous) {
    refuse(listener, "would let everybody in from other machines; only a loopback address may allow_anonymous");
  }
  if (!listener.allow_anonymous && !authenticates) {
    refuse(listener,
           "doesn't allow_anonymous, and there is no way to authenticate; set auth.users_file, auth.keys_file, "
           "auth.http.url, or client_certificate = \"required\"");
  }
}

std::string listener_settings_rows() {
  std::string rows;
  for (const ListenerSetting& setting : kSettings) {
    rows.append("| `").append(setting.name).append("` | ").append(listed(setting.values)).append(" | ");
    if (!setting.standard.empty()) rows.append("`").append(setting.standard).append("`");
    rows.append(" | ").append(listed(setting.schemes)).append(" | ").append(setting.meaning).append(" |\n");
  }
  return rows;
}

}  // namespace parley::config
