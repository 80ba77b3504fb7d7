#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What can go wrong with a request, as RFC 9457 problem details with a stable `code`. Pure; any thread.
namespace parley::bridge {

enum class Problem : std::uint8_t {
  MalformedRequest,
  InvalidParameter,
  InvalidBody,
  InvalidTopic,
  InvalidPayload,
  InvalidId,
  NotAuthenticated,
  NotAuthorized,
  NoSuchResource,
  NoSuchConversation,
  MethodNotAllowed,
  RequestTimeout,
  OtherEpoch,
  BelowRetention,
  TooLarge,
  UnsupportedMediaType,
  BeyondHead,
  HeaderTooLarge,
  InternalError,
  Unsupported,
  BrokerFailed,
  BrokerUnavailable,
  NoMajority,
  StorageUnavailable,
  StorageFailed,
  CorruptRecord,
  Busy,
  NotReady,
  BrokerTimeout,
  DiskFull,
  UnknownCommand,
  InvalidArgument,
  Exists,
  NotMember,
  LastOwner,
  NotForDirect,
  NotFound,
  TooLate,
  InvalidCursor,
  Rate,
};

struct ProblemRule {
  Problem problem;
  unsigned status;
  std::string_view code;     ///< Stable; the broker's refusals keep their word.
  std::string_view title;    ///< What is said when there is no detail.
  unsigned retry_after = 0;  ///< Seconds for Retry-After; 0: it won't pass by itself.
};

/// In the order of the enumeration.
std::span<const ProblemRule> problems();
const ProblemRule& rule_of(Problem problem);
/// The problem whose code is the broker's `error` word; BrokerFailed for a word that this version doesn't know.
Problem problem_of_word(std::string_view word);

/// One occurrence. `members` are further members of the JSON object: name and value as JSON text.
struct ProblemDetails {
  Problem problem = Problem::InternalError;
  std::string detail;
  std::vector<std::pair<std::string_view, std::string>> members;
  unsigned retry_after = 0;  ///< Seconds; 0: what the table says.
};

/// A parameter of the request is wrong; `detail` is a whole sentence that says what is expected.
ProblemDetails parameter_problem(std::string_view parameter, std::string detail);

/// Appends the JSON object of RFC 9457 §3: type, title, status, code, detail and the members.
void append_problem(std::string& to, const ProblemDetails& details);

}  // namespace parley::bridge
