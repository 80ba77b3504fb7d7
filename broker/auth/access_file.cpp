#include "broker/auth/access_file.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "base/name.hpp"

namespace parley::auth {
namespace {

/// Words between blanks; one with blanks stands in double quotes, in which `\"` and `\\` are meant as they are there.
/// Nothing when quotes don't match.
std::optional<std::vector<std::string>> words_of(std::string_view line) {
  std::vector<std::string> words;
  std::size_t at = 0;
  while (true) {
    at = std::min(line.find_first_not_of(" \t", at), line.size());
    if (at == line.size() || (words.empty() && line[at] == '#')) return words;
    std::string word;
    const bool quoted = line[at] == '"';
    if (quoted) ++at;
    while (at < line.size() && (quoted ? line[at] != '"' : line[at] != ' ' && line[at] != '\t')) {
      if (!quoted && line[at] == '"') return std::nullopt;
      if (quoted && line[at] == '\\' && ++at == line.size()) return std::nullopt;
      word.push_back(line[at++]);
    }
    if (quoted && (at == line.size() || (++at < line.size() && line[at] != ' ' && line[at] != '\t'))) {
      return std::nullopt;
    }
    words.push_back(std::move(word));
  }
}

struct AccessWord {
  std::string_view word;
  std::uint8_t access;
};
constexpr auto kRead = static_cast<std::uint8_t>(Access::Read);
constexpr auto kWrite = static_cast<std::uint8_t>(Access::Write);
constexpr std::array kAccessWords{
    AccessWord{"read", kRead},
    AccessWord{"write", kWrite},
    AccessWord{"readwrite", kRead | kWrite},
};

}  // namespace

std::variant<std::shared_ptr<const AccessRules>, LineError> AccessRules::read(std::string_view text) {
  auto rules = std::make_shared<AccessRules>();
  const auto error = read_lines(text, [&](std::string_view line) { return rules->read_line(line); });
  if (error.line != 0) return error;
  return std::shared_ptr<const AccessRules>(std::move(rules));
}

std::string_view AccessRules::read_line(std::string_view line) {
  auto words = words_of(line);
  if (!words) return "A word with blanks stands in double quotes, and these don't match.";
  if (words->empty()) return {};
  if (words->front() == "group") return read_group(std::move(*words));
  return read_rule(std::move(*words));
}

std::string_view AccessRules::read_group(std::vector<std::string> words) {
  if (words.size() < 2 || words[1].empty()) return "A group is written: group NAME MEMBER…";
  auto& members = groups_[words[1]];
  for (std::size_t i = 2; i < words.size(); ++i) {
    if (!is_name(words[i])) return "A member of the group is no valid user name.";
    members.push_back(std::move(words[i]));
  }
  std::ranges::sort(members);
  return {};
}

std::string_view AccessRules::read_rule(std::vector<std::string> words) {
  constexpr std::string_view kForm =
      "A rule is written: allow or deny, then read, write or readwrite, then all, user NAME or group NAME, then a "
      "topic.";
  const bool all = words.size() == 4 && words[2] == "all";
  if (!all && words.size() != 5) return kForm;
  Rule rule{.allow = words[0] == "allow"};
  if (!rule.allow && words[0] != "deny") return kForm;
  const auto access = std::ranges::find(kAccessWords, words[1], &AccessWord::word);
  if (access == kAccessWords.end()) return kForm;
  rule.access = access->access;
  if (!all && words[2] == "user") {
    if (!is_name(words[3])) return "This is no valid user name.";
    rule.user = std::move(words[3]);
  } else if (!all && words[2] == "group") {
    const auto group = groups_.find(words[3]);
    if (group == groups_.end()) return "This group has no line above.";
    rule.group = &group->second;
  } else if (!all) {
    return kForm;
  }
  if (!is_pattern(words.back())) return "This is no topic filter; a % in it is %u, %c or %%.";
  rule.pattern = std::move(words.back());
  rules_.push_back(std::move(rule));
  return {};
}

bool AccessRules::concerns(const Rule& rule, Access access, const Subject& subject) {
  if ((rule.access & static_cast<std::uint8_t>(access)) == 0) return false;
  if (!rule.user.empty()) return rule.user == subject.user;
  return rule.group == nullptr || std::ranges::binary_search(*rule.group, subject.user);
}

bool AccessRules::may(Access access, const Subject& subject, std::string_view topic) const {
  for (const Rule& rule : rules_) {
    if (!concerns(rule, access, subject)) continue;
    if (coverage(rule.pattern, topic, subject, !rule.allow) != Coverage::None) return rule.allow;
  }
  return false;
}

Coverage AccessRules::readable(const Subject& subject, std::string_view filter) const {
  bool something = false;
  bool everything = true;
  for (const Rule& rule : rules_) {
    if (!concerns(rule, Access::Read, subject)) continue;
    const auto covered = coverage(rule.pattern, filter, subject, !rule.allow);
    if (covered == Coverage::None) continue;
    something = something || rule.allow;
    everything = everything && rule.allow;
    if (covered != Coverage::Whole) continue;
    return !something ? Coverage::None : everything ? Coverage::Whole : Coverage::Part;
  }
  return something ? Coverage::Part : Coverage::None;
}

}  // namespace parley::auth
