#include "broker/auth/scram.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/base64.hpp"
#include "broker/auth/digest.hpp"

namespace parley::auth {
namespace {

constexpr std::string_view kPrefix = "$scram-sha-256$i=";
constexpr std::size_t kDigestSize = 32;

std::string exclusive_or(std::string_view a, std::string_view b) {
  std::string both(a);
  for (std::size_t i = 0; i < both.size(); ++i) both[i] = static_cast<char>(both[i] ^ b[i]);
  return both;
}

std::string base64(std::string_view bytes) {
  std::string text;
  append_base64(text, bytes);
  return text;
}

std::string without_padding(std::string text) {
  while (text.ends_with('=')) text.pop_back();
  return text;
}

std::optional<std::string> decode_without_padding(std::string_view text) {
  if (text.find('=') != text.npos) return std::nullopt;
  return decode_base64(std::string(text).append((4 - text.size() % 4) % 4, '='));
}

/// Cuts the part before the next `separator` off `text`; all of it when there is none.
std::string_view cut(std::string_view& text, char separator) {
  const auto end = std::min(text.find(separator), text.size());
  const auto part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

/// The value of `n=VALUE`. RFC 5802 §5.1.
std::optional<std::string_view> attribute(std::string_view part, char name) {
  if (part.size() < 2 || part[0] != name || part[1] != '=') return std::nullopt;
  return part.substr(2);
}

/// `saslname`: a comma is written =2C, an equals sign =3D.
std::optional<std::string> read_name(std::string_view text) {
  std::string name;
  while (!text.empty()) {
    if (text.front() != '=') {
      name.push_back(text.front());
      text.remove_prefix(1);
      continue;
    }
    if (!text.starts_with("=2C") && !text.starts_with("=3D")) return std::nullopt;
    name.push_back(text[1] == '2' ? ',' : '=');
    text.remove_prefix(3);
  }
  return name.empty() ? std::nullopt : std::optional(std::move(name));
}

/// Whether `m` is among the attributes: an extension that must be understood. RFC 5802 §5.1.
bool has_mandatory(std::string_view attributes) {
  while (!attributes.empty()) {
    if (cut(attributes, ',').starts_with("m=")) return true;
  }
  return false;
}

/// Printable ASCII but for the comma. RFC 5802 §7.
bool is_nonce(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= 0x21 && c <= 0x7E && c != ','; });
}

}  // namespace

ScramVerifier make_scram_verifier(std::string_view password, std::string_view salt, std::uint32_t iterations) {
  const std::string salted = stretch(password, salt, iterations);
  return {.iterations = iterations,
          .salt = std::string(salt),
          .stored_key = sha256(hmac_sha256(salted, "Client Key")),
          .server_key = hmac_sha256(salted, "Server Key")};
}

std::string write_scram_verifier(const ScramVerifier& verifier) {
  std::string text = std::string(kPrefix).append(std::to_string(verifier.iterations));
  for (const std::string* part : {&verifier.salt, &verifier.stored_key, &verifier.server_key}) {
    text.append("$").append(without_padding(base64(*part)));
  }
  return text;
}

std::optional<ScramVerifier> read_scram_verifier(std::string_view text) {
  if (!text.starts_with(kPrefix)) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  ScramVerifier verifier;
  const auto number = cut(text, '$');
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), verifier.iterations);
  if (error != std::errc{} || end != number.data() + number.size() || number.starts_with('0')) return std::nullopt;
  if (verifier.iterations < kScramIterationsMin || verifier.iterations > kScramIterationsMax) return std::nullopt;
  const auto salt = decode_without_padding(cut(text, '$'));
  const auto stored_key = decode_without_padding(cut(text, '$'));
  const auto server_key = decode_without_padding(text);
  if (!salt || !stored_key || !server_key) return std::nullopt;
  if (salt->size() < 8 || salt->size() > 64) return std::nullopt;
  if (stored_key->size() != kDigestSize || server_key->size() != kDigestSize) return std::nullopt;
  verifier.salt = *salt;
  verifier.stored_key = *stored_key;
  verifier.server_key = *server_key;
  return verifier;
}

std::optional<std::string> ScramExchange::begin(std::string_view client_first) {
  if (client_first.size() > kScramMessageMax) return std::nullopt;
  std::string_view rest = client_first;
  const auto binding = cut(rest, ',');
  // `y`: the client could bind to the channel and thinks the server can't, which is so.
  if (binding != "n" && binding != "y") return std::nullopt;
  if (!cut(rest, ',').empty()) return std::nullopt;
  gs2_header_ = client_first.substr(0, client_first.size() - rest.size());
  client_first_bare_ = rest;
  if (has_mandatory(rest)) return std::nullopt;
  const auto name = attribute(cut(rest, ','), 'n');
  const auto nonce = attribute(cut(rest, ','), 'r');
  if (!name || !nonce || !is_nonce(*nonce)) return std::nullopt;
  nonce_.insert(0, *nonce);
  return read_name(*name);
}

std::string ScramExchange::challenge(const ScramVerifier& verifier) {
  verifier_ = verifier;
  server_first_ = "r=" + nonce_ + ",s=" + base64(verifier.salt) + ",i=" + std::to_string(verifier.iterations);
  return server_first_;
}

std::optional<std::string> ScramExchange::finish(std::string_view client_final) {
  if (client_final.size() > kScramMessageMax) return std::nullopt;
  const auto proof_at = client_final.rfind(",p=");
  if (proof_at == client_final.npos) return std::nullopt;
  const auto without_proof = client_final.substr(0, proof_at);
  const auto proof = decode_base64(client_final.substr(proof_at + 3));
  std::string_view rest = without_proof;
  const auto binding = attribute(cut(rest, ','), 'c');
  const auto nonce = attribute(cut(rest, ','), 'r');
  if (has_mandatory(rest)) return std::nullopt;
  if (!binding || decode_base64(*binding) != gs2_header_) return std::nullopt;
  if (!nonce || *nonce != nonce_ || !proof || proof->size() != kDigestSize) return std::nullopt;
  const std::string message = client_first_bare_ + ',' + server_first_ + ',' + std::string(without_proof);
  const std::string client_key = exclusive_or(*proof, hmac_sha256(verifier_.stored_key, message));
  if (!equal_in_constant_time(sha256(client_key), verifier_.stored_key)) return std::nullopt;
  return "v=" + base64(hmac_sha256(verifier_.server_key, message));
}

}  // namespace parley::auth
