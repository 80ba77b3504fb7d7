#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "broker/auth/line_file.hpp"
#include "broker/auth/topic_pattern.hpp"

/// The access file: who may read and write which topics. Format: docs/formats/access.md.
namespace parley::auth {

enum class Access : std::uint8_t { Read = 1, Write = 2 };

/// The rules of one file, in their order: the first one that is about the subject, the kind of access and the topic
/// decides; where none is, the answer is no. Doesn't change; any thread. A question walks over all rules, a few
/// nanoseconds each.
class AccessRules {
 public:
  AccessRules() = default;  ///< No rule: nothing is allowed.
  AccessRules(const AccessRules&) = delete;
  AccessRules& operator=(const AccessRules&) = delete;

  /// Reads the whole file or says what is wrong with its first wrong line.
  static std::variant<std::shared_ptr<const AccessRules>, LineError> read(std::string_view text);

  /// `topic` is a topic name.
  [[nodiscard]] bool may(Access access, const Subject& subject, std::string_view topic) const;
  /// How much of what `filter` (without `$share`) matches may be read. Whole: no message needs to be asked about.
  [[nodiscard]] Coverage readable(const Subject& subject, std::string_view filter) const;

 private:
  struct Rule {
    bool allow = false;
    std::uint8_t access = 0;  ///< Access, or both.
    std::string user;         ///< Empty: everybody, or …
    const std::vector<std::string>* group = nullptr;
    std::string pattern;
  };

  static bool concerns(const Rule& rule, Access access, const Subject& subject);
  std::string_view read_line(std::string_view line);
  std::string_view read_group(std::vector<std::string> words);
  std::string_view read_rule(std::vector<std::string> words);

  std::map<std::string, std::vector<std::string>, std::less<>> groups_;  ///< Members, sorted.
  std::vector<Rule> rules_;
};

}  // namespace parley::auth
