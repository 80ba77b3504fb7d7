#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "broker/auth/access_file.hpp"

/// An access file, and behind a NUL topics to ask about: what may be read wholly as a filter may be read as a topic,
/// and what may not be read at all has no topic that may.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley::auth;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto nul = input.find('\0') < size ? input.find('\0') : size;
  const auto read = AccessRules::read(input.substr(0, nul));
  if (const auto* error = std::get_if<LineError>(&read)) {
    if (error->line == 0 || error->line > size + 1 || error->why.empty()) __builtin_trap();
    return 0;
  }
  const auto& rules = *std::get<std::shared_ptr<const AccessRules>>(read);
  const std::string_view rest = nul < size ? input.substr(nul + 1) : std::string_view();
  const auto split = rest.find('\0');
  const std::string_view filter = rest.substr(0, split);
  const std::string_view topic = split < rest.size() ? rest.substr(split + 1) : filter;
  for (const Subject& subject :
       {Subject{.user = "ann", .client_id = "c1"}, Subject{.user = "bob", .client_id = "a/b"}, Subject{"", ""}}) {
    (void)rules.may(Access::Write, subject, topic);
    const auto covered = rules.readable(subject, filter);
    if (!is_pattern(filter) || filter.find('%') != filter.npos || topic.find_first_of("+#") != topic.npos) continue;
    // The topic belongs to the filter.
    if (topic.empty() || coverage(filter, topic, subject, false) == Coverage::None) continue;
    const bool may = rules.may(Access::Read, subject, topic);
    if (covered == Coverage::Whole && !may) __builtin_trap();
    if (covered == Coverage::None && may) __builtin_trap();
  }
  return 0;
}
