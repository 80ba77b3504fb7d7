#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "broker/auth/token.hpp"
#include "clients/ctl/secret.hpp"
#include "clients/ctl/verb.hpp"
#include "config/units.hpp"

namespace parley::ctl {
namespace {

struct TokenOptions {
  std::string keys;
  std::string algorithm = "ES256";
  std::string key_id;
  std::string user;
  std::string lifetime = "1h";
  std::string issuer;
  std::string audience;
  std::string user_claim = "sub";
  std::vector<std::string> claims;
  std::string token;
};

std::shared_ptr<TokenOptions> declare_keys(CLI::App& command) {
  auto options = std::make_shared<TokenOptions>();
  command.add_option("--keys", options->keys, "File with one JWK or a JWKS")->required()->option_text("FILE");
  return options;
}

void declare_parties(CLI::App& command, TokenOptions& options) {
  command.add_option("--issuer", options.issuer, "iss")->option_text("TEXT");
  command.add_option("--audience", options.audience, "aud")->option_text("TEXT");
  command.add_option("--user-claim", options.user_claim, "The claim that names the user (sub)")->option_text("NAME");
}

auth::KeySet keys_of(const std::string& path) {
  auto read = auth::KeySet::read(read_file(path, false));
  if (const auto* why = std::get_if<std::string>(&read)) throw std::runtime_error("\"" + path + "\": " + *why);
  return std::get<auth::KeySet>(std::move(read));
}

std::uint64_t unix_seconds() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since).count());
}

std::string claims_of(const TokenOptions& options) {
  const auto lifetime = config::read_duration(options.lifetime);
  if (!lifetime) throw std::runtime_error("--lifetime is a duration such as 10m or 24h");
  const std::uint64_t now = unix_seconds();
  boost::json::object claims;
  claims[options.user_claim] = options.user;
  claims["iat"] = now;
  claims["exp"] = now + static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(*lifetime).count());
  if (!options.issuer.empty()) claims["iss"] = options.issuer;
  if (!options.audience.empty()) claims["aud"] = options.audience;
  for (const std::string& claim : options.claims) {
    const auto equals = claim.find('=');
    if (equals == std::string::npos) throw std::runtime_error("--claim is written NAME=TEXT");
    claims[claim.substr(0, equals)] = claim.substr(equals + 1);
  }
  return boost::json::serialize(claims);
}

const auth::SignatureKey& signing_key(const auth::KeySet& keys, const std::string& id) {
  const auto fits = [&](const auth::SignatureKey& key) { return key.is_private() && (id.empty() || key.id() == id); };
  const auto found = std::ranges::find_if(keys.keys(), fits);
  if (found == keys.keys().end()) throw std::runtime_error("there is no such key that can sign");
  return *found;
}

}  // namespace

std::function<int()> declare_token_key(CLI::App& command) {
  auto options = std::make_shared<TokenOptions>();
  command.add_option("--algorithm", options->algorithm, "HS256, RS256, ES256 or EdDSA; ES256 if not given");
  command.add_option("--kid", options->key_id, "The key's id, which its tokens name")->option_text("TEXT");
  return [options] {
    const auto algorithm = auth::read_algorithm(options->algorithm);
    if (!algorithm) throw std::runtime_error("--algorithm is HS256, RS256, ES256 or EdDSA");
    const auto jwk = auth::SignatureKey::generate(*algorithm, options->key_id);
    if (!jwk) throw std::runtime_error("OpenSSL makes no key");
    print("{\"keys\":[" + *jwk + "]}\n");
    return 0;
  };
}

std::function<int()> declare_token_publish(CLI::App& command) {
  return [options = declare_keys(command)] {
    const auto keys = auth::public_key_set(read_file(options->keys, false));
    if (!keys) throw std::runtime_error("\"" + options->keys + "\" is no set of keys");
    print(*keys + "\n");
    return 0;
  };
}

std::function<int()> declare_token_make(CLI::App& command) {
  auto options = declare_keys(command);
  declare_parties(command, *options);
  command.add_option("--user", options->user, "Whom it lets in")->required()->option_text("NAME");
  command.add_option("--lifetime", options->lifetime, "How long: 10m, 24h; 1h if not given")->option_text("DURATION");
  command.add_option("--kid", options->key_id, "Which of the keys signs")->option_text("TEXT");
  command.add_option("--claim", options->claims, "A further claim; may be repeated")
      ->option_text("NAME=TEXT")
      ->allow_extra_args(false);
  return [options] {
    const auto keys = keys_of(options->keys);
    const auto token = auth::make_token(claims_of(*options), signing_key(keys, options->key_id));
    if (!token) throw std::runtime_error("OpenSSL doesn't sign");
    print(*token + "\n");
    return 0;
  };
}

std::function<int()> declare_token_check(CLI::App& command) {
  auto options = declare_keys(command);
  declare_parties(command, *options);
  command.add_option("token", options->token, "The token; - or nothing: from standard input")->option_text("TOKEN");
  return [options] {
    std::string text = options->token.empty() || options->token == "-" ? read_file("-", false) : options->token;
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
    auth::TokenRules rules{.issuer = options->issuer, .audience = options->audience, .user_claim = options->user_claim};
    const auto checked = auth::check_token(text, keys_of(options->keys), rules, {unix_seconds() * 1000});
    if (const auto* why = std::get_if<std::string_view>(&checked)) {
      print(std::string(*why) + "\n");
      return 1;
    }
    const auto& token = std::get<auth::Token>(checked);
    std::string line = "user\t" + token.user + "\n";
    if (token.expires)
      line.append("worth nothing from\t").append(std::to_string(token.expires->milliseconds / 1000)).append("\n");
    print(line);
    return 0;
  };
}

}  // namespace parley::ctl
