#include "bridge/problem.hpp"

#include <algorithm>
#include <array>

#include "json/entry_json.hpp"

namespace parley::bridge {
namespace {

constexpr std::array kProblems{
    ProblemRule{Problem::MalformedRequest, 400, "malformed-request", "This is no well-formed HTTP request."},
    ProblemRule{Problem::InvalidParameter, 400, "invalid-parameter", "A parameter of the request is not valid."},
    ProblemRule{Problem::InvalidBody, 400, "invalid-body", "The body is not of the documented shape."},
    ProblemRule{Problem::InvalidTopic, 400, "invalid-topic", "This is no name of a conversation."},
    ProblemRule{Problem::InvalidPayload, 400, "invalid-payload", "The payload isn't what it is declared to be."},
    ProblemRule{Problem::InvalidId, 400, "invalid-id", "An id has 1 to 128 bytes and no control characters."},
    ProblemRule{Problem::NotAuthenticated, 401, "not-authenticated", "This needs a user."},
    ProblemRule{Problem::NotAuthorized, 403, "not-authorized", "You may not do this in this conversation."},
    ProblemRule{Problem::NoSuchResource, 404, "no-such-resource", "There is nothing at this path."},
    ProblemRule{Problem::NoSuchConversation, 404, "no-such-conversation", "There is no such conversation."},
    ProblemRule{Problem::MethodNotAllowed, 405, "method-not-allowed", "This path doesn't take this method."},
    ProblemRule{Problem::RequestTimeout, 408, "request-timeout", "The request did not arrive in time."},
    ProblemRule{Problem::OtherEpoch, 409, "other-epoch", "The position belongs to another epoch of the conversation."},
    ProblemRule{Problem::BelowRetention, 410, "below-retention", "Retention has removed what was asked for."},
    ProblemRule{Problem::TooLarge, 413, "too-large", "The message is larger than this server takes."},
    ProblemRule{Problem::UnsupportedMediaType, 415, "unsupported-media-type", "Bodies of this type are not taken."},
    ProblemRule{Problem::BeyondHead, 416, "beyond-head", "The position is beyond the conversation's head."},
    ProblemRule{Problem::HeaderTooLarge, 431, "header-too-large", "The request's header is too large."},
    ProblemRule{Problem::InternalError, 500, "internal-error", "The request failed; the log says why."},
    ProblemRule{Problem::Unsupported, 501, "unsupported", "This server doesn't serve this yet."},
    ProblemRule{Problem::BrokerFailed, 502, "broker-failed", "The broker's answer is not understood."},
    ProblemRule{Problem::BrokerUnavailable, 503, "broker-unavailable", "The broker can't be reached.", 1},
    ProblemRule{Problem::NoMajority, 503, "no-majority", "Too few of the cluster's nodes can be reached.", 2},
    ProblemRule{Problem::StorageUnavailable, 503, "storage-unavailable", "The history can't be read yet.", 1},
    ProblemRule{Problem::StorageFailed, 503, "storage-failed", "The server can't use its disk.", 10},
    ProblemRule{Problem::CorruptRecord, 500, "corrupt-record", "The conversation's own record is damaged."},
    ProblemRule{Problem::Busy, 503, "busy", "The server has too much to do.", 1},
    ProblemRule{Problem::NotReady, 503, "not-ready", "A part that this server needs is missing.", 1},
    ProblemRule{Problem::BrokerTimeout, 504, "broker-timeout",
                "The broker did not answer in time; send again with the same id.", 1},
    ProblemRule{Problem::DiskFull, 507, "disk-full", "The server has no room on its disk.", 10},
    ProblemRule{Problem::UnknownCommand, 400, "unknown-command", "There is no such command."},
    ProblemRule{Problem::InvalidArgument, 400, "invalid-argument", "An argument is missing, unknown or wrong."},
    ProblemRule{Problem::Exists, 409, "exists", "It is there already."},
    ProblemRule{Problem::NotMember, 404, "not-a-member", "This user is no member of the conversation."},
    ProblemRule{Problem::LastOwner, 409, "last-owner", "A conversation with members keeps an owner."},
    ProblemRule{Problem::NotForDirect, 409, "not-for-direct", "A direct conversation has its two users for good."},
    ProblemRule{Problem::NotFound, 404, "not-found", "There is no such message, or not any more."},
    ProblemRule{Problem::TooLate, 409, "too-late", "A message can be edited for a while only, and this is over."},
    ProblemRule{Problem::InvalidCursor, 400, "invalid-cursor", "This is no cursor of this user's inbox."},
    ProblemRule{Problem::Rate, 429, "rate", "You send more messages to this conversation than one user may.", 1},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kProblems.size(); ++i) {
    if (static_cast<std::size_t>(kProblems[i].problem) != i) return false;
  }
  return true;
}
static_assert(in_order() && kProblems.size() == static_cast<std::size_t>(Problem::Rate) + 1);

}  // namespace

std::span<const ProblemRule> problems() { return kProblems; }

const ProblemRule& rule_of(Problem problem) { return kProblems.at(static_cast<std::size_t>(problem)); }

Problem problem_of_word(std::string_view word) {
  const auto found = std::ranges::find(kProblems, word, &ProblemRule::code);
  return found == kProblems.end() ? Problem::BrokerFailed : found->problem;
}

ProblemDetails parameter_problem(std::string_view parameter, std::string detail) {
  std::string name;
  json::append_string(name, parameter);
  return {
      .problem = Problem::InvalidParameter, .detail = std::move(detail), .members = {{"parameter", std::move(name)}}};
}

void append_problem(std::string& to, const ProblemDetails& details) {
  const auto& rule = rule_of(details.problem);
  to.append("{\"type\":\"urn:parley:problem:").append(rule.code).append("\",\"title\":");
  json::append_string(to, rule.title);
  to.append(",\"status\":").append(std::to_string(rule.status)).append(",\"code\":\"").append(rule.code).push_back('"');
  if (!details.detail.empty()) {
    to.append(",\"detail\":");
    json::append_string(to, details.detail);
  }
  for (const auto& [name, value] : details.members) {
    to.append(",\"").append(name).append("\":").append(value);
  }
  to.push_back('}');
}

}  // namespace parley::bridge
