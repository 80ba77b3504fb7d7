#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/number.hpp"
#include "base/time.hpp"

/// Who is online: what a user's home makes of what the nodes say about its connections. Pure. docs/PROTOCOL.md
/// "Presence".
namespace parley::chat {

/// What is shown of a user.
struct Presence {
  bool online = false;
  std::uint64_t devices = 0;
  Timestamp since;  ///< 0: not known.
  std::string status;
  friend bool operator==(const Presence&, const Presence&) = default;
};

/// What a node says about a user's connections to it: all of them, not what has changed. So nobody can say offline who
/// isn't asked last: whatever is late, lost or said twice is put right by the next word.
struct PresenceReport {
  std::uint64_t devices = 0;
  std::optional<Duration> grace;       ///< Of those that have gone; none: the usual one.
  std::optional<std::string> status;   ///< As the user has set it …
  Timestamp status_at;                 ///< … and when.
  std::optional<std::string> parting;  ///< Counts once the user is offline, if no device comes before.
};

/// One user at its home. Belongs to one thread. Memory: about 200 bytes and its status.
class UserPresence {
 public:
  void take(NodeId node, PresenceReport report, Duration grace, Instant now, Timestamp wall) {
    const bool was_here = devices() != 0;
    if (!was_here && report.devices == 0 && !report.status && !report.parting) return;
    set(node, report.devices);
    if (report.status && report.status_at >= status_at_) {
      const bool is_told_again = report.status_at == status_at_;
      status_at_ = report.status_at;
      if (set_ && is_told_again) {
        set_ = std::move(report.status);
      } else {
        shown_.status = *std::move(report.status);
        set_.reset();
      }
    }
    if (report.parting) parting_ = std::move(report.parting);
    if (const auto count = devices(); count != 0) {
      leaves_at_.reset();
      if (report.devices != 0) parting_.reset();
      if (!shown_.online) shown_.since = remembered_.milliseconds != 0 ? std::exchange(remembered_, {}) : wall;
      if (set_) shown_.status = *std::exchange(set_, std::nullopt);
      shown_.online = true;
      shown_.devices = count;
    } else if (was_here) {
      left_ = wall;
      leaves_at_ = now + report.grace.value_or(grace);
      is_known_ = true;
    }
    is_known_ = is_known_ || shown_.online;
  }

  /// What an earlier home has told of the user, of which this one can't know since when it is so, and the status that
  /// was set.
  void remember(const Presence& told) {
    if (status_at_ == Timestamp{}) shown_.status = told.status;
    if (!told.online) {
      if (!shown_.online) shown_.since = told.since;
    } else if (!shown_.online) {
      remembered_ = told.since;
    } else if (told.since != Timestamp{} && told.since < shown_.since) {
      shown_.since = told.since;
    }
  }
  /// Nobody who is here keeps it to himself any more.
  void settle() {
    remembered_ = {};
    if (!is_known_) part();
  }

  /// When it turns offline unless a device comes.
  [[nodiscard]] std::optional<Instant> leaves_at() const { return leaves_at_; }
  /// True when it has turned offline.
  bool look(Instant now) {
    if (!leaves_at_ || *leaves_at_ > now) return false;
    leaves_at_.reset();
    shown_.online = false;
    shown_.devices = 0;
    shown_.since = left_;
    part();
    return true;
  }

  /// False: nobody has said anything of its connections.
  [[nodiscard]] bool is_known() const { return is_known_; }
  [[nodiscard]] const Presence& shown() const { return shown_; }
  [[nodiscard]] std::uint64_t devices() const {
    std::uint64_t count = 0;
    for (const auto& [node, devices] : nodes_) count += devices;
    return count;
  }
  [[nodiscard]] bool has(NodeId node) const {
    for (const auto& one : nodes_) {
      if (one.first == node) return true;
    }
    return false;
  }

 private:
  void part() {
    if (!parting_) return;
    if (!set_) set_ = std::move(shown_.status);
    shown_.status = *std::exchange(parting_, std::nullopt);
  }
  void set(NodeId node, std::uint64_t devices) {
    std::erase_if(nodes_, [node](const auto& one) { return one.first == node; });
    if (devices != 0) nodes_.emplace_back(node, devices);
  }

  std::vector<std::pair<NodeId, std::uint64_t>> nodes_;  ///< With connections of its.
  std::optional<Instant> leaves_at_;
  Timestamp left_;
  Timestamp remembered_;  ///< Since when it was online at an earlier home.
  Presence shown_;
  Timestamp status_at_;
  std::optional<std::string> parting_;  ///< To be shown once it is offline.
  std::optional<std::string> set_;      ///< While a parting status is shown: the one that comes back with the user.
  bool is_known_ = false;
};

}  // namespace parley::chat
