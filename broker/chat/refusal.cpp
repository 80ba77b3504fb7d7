#include "broker/chat/refusal.hpp"

#include <array>
#include <string>

namespace parley::chat {
namespace {

constexpr std::array kRules{
    RefusalRule{Refusal::None, "", 0x00, 0, ""},
    RefusalRule{Refusal::NotAuthorized, "not-authorized", 0x87, 0, "You may not do this in this conversation."},
    RefusalRule{Refusal::InvalidTopic, "invalid-topic", 0x90, 0,
                "There is no such topic here, or it has too many levels."},
    RefusalRule{Refusal::InvalidPayload, "invalid-payload", 0x99, 0, "The payload isn't what it is declared to be."},
    RefusalRule{Refusal::InvalidId, "invalid-id", 0x99, 0, "An id has 1 to 128 bytes and no control characters."},
    RefusalRule{Refusal::TooLarge, "too-large", 0x97, 0, "The message is larger than this server takes."},
    RefusalRule{Refusal::DiskFull, "disk-full", 0x97, 10, "The server has no room on its disk."},
    RefusalRule{Refusal::StorageFailed, "storage-failed", 0x83, 10, "The server can't write to its disk."},
    RefusalRule{Refusal::Busy, "busy", 0x97, 1, "The server's disk can't keep up."},
    RefusalRule{Refusal::NoMajority, "no-majority", 0x83, 2,
                "Too few of the servers that keep this conversation answer."},
    RefusalRule{Refusal::BeyondHead, "beyond-head", 0x83, 0, "The position is beyond the conversation's head."},
    RefusalRule{Refusal::OtherEpoch, "other-epoch", 0x83, 0, "The position belongs to another epoch."},
    RefusalRule{Refusal::UnknownCommand, "unknown-command", 0x99, 0, "There is no such command."},
    RefusalRule{Refusal::InvalidArgument, "invalid-argument", 0x99, 0, "An argument is missing, unknown or wrong."},
    RefusalRule{Refusal::Exists, "exists", 0x83, 0, "It is there already."},
    RefusalRule{Refusal::NotMember, "not-a-member", 0x83, 0, "This user is no member of the conversation."},
    RefusalRule{Refusal::LastOwner, "last-owner", 0x83, 0, "A conversation with members keeps an owner."},
    RefusalRule{Refusal::NotFound, "not-found", 0x83, 0, "There is no such message, or not any more."},
    RefusalRule{Refusal::TooLate, "too-late", 0x83, 0, "A message can be edited for a while only, and this is over."},
    RefusalRule{Refusal::NotForDirect, "not-for-direct", 0x83, 0, "A direct conversation has its two users for good."},
    RefusalRule{Refusal::InvalidCursor, "invalid-cursor", 0x83, 0, "This is no cursor of this user's inbox."},
    RefusalRule{Refusal::Unsupported, "unsupported", 0x83, 0, "This server doesn't serve this yet."},
    RefusalRule{Refusal::NotLeader, "", 0x83, 2, ""},  // A client is told NoMajority.
    RefusalRule{Refusal::TooMany, "too-many", 0x97, 0, "A client may not have that many of them."},
    RefusalRule{Refusal::Rate, "rate", 0x97, 1, "You send more messages to this conversation than one user may."},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    if (kRules[i].refusal != static_cast<Refusal>(i)) return false;
  }
  return true;
}
static_assert(in_order() && kRules.size() == static_cast<std::size_t>(Refusal::Rate) + 1);

class Category final : public boost::system::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "chat"; }
  [[nodiscard]] std::string message(int value) const override {
    return std::string(rule_of(static_cast<Refusal>(value)).message);
  }
};

}  // namespace

const RefusalRule& rule_of(Refusal refusal) {
  return kRules.at(static_cast<std::size_t>(refusal == Refusal::NotLeader ? Refusal::NoMajority : refusal));
}

const boost::system::error_category& refusal_category() {
  static const Category category;
  return category;
}

}  // namespace parley::chat
