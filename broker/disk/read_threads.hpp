#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "broker/disk/store_event.hpp"
#include "broker/shard/ports.hpp"

namespace parley::storage {
class Files;
class History;
class LogPlaces;
class LogReader;
struct StoredSessionView;
}  // namespace parley::storage

namespace parley::disk {

class LogGuard;

/// A copy of what the view shows.
shard::StoredSession owned(const storage::StoredSessionView& view);

/// The threads that load conversations and read entries and logs, each with its own view of the history. Whoever is
/// free takes what has waited longest.
class ReadThreads {
 public:
  /// All arguments outlive this. `guard` is told of damage in the log, if there is one.
  ReadThreads(const std::shared_ptr<storage::Files>& files, const storage::LogPlaces& places, unsigned count,
              LogGuard* guard, StoreEventSink& sink);
  ~ReadThreads();

  struct Load {
    shard::ShardId shard = 0;
    std::string name;
  };
  struct Read {
    shard::ShardId shard = 0;
    shard::LogStore::ReadRequest request;
  };
  struct LoadSession {
    shard::ShardId shard = 0;
    std::string client_id;
  };
  struct ListSessions {
    shard::ShardId shard = 0;
    shard::LogStore::ListSessionsRequest request;
  };
  struct LoadUser {
    shard::ShardId shard = 0;
    std::string user;
  };
  struct ReadLog {
    shard::ShardId shard = 0;
    shard::LogStore::LogReadRequest request;
  };
  struct ReadSnapshot {
    shard::ShardId shard = 0;
    shard::LogStore::SnapshotReadRequest request;
  };
  struct FindErasure {
    shard::ShardId shard = 0;
    shard::LogStore::ErasureRequest request;
  };
  struct FindSessions {
    shard::ShardId shard = 0;
    shard::LogStore::SessionsRequest request;
  };
  using Work =
      std::variant<Load, Read, LoadSession, ListSessions, LoadUser, ReadLog, ReadSnapshot, FindErasure, FindSessions>;

  /// Any thread. Answered by an event of that kind.
  void add(Work work);
  /// Ends once everything handed over is answered.
  void stop();

 private:
  /// What one thread reads with.
  struct Readers;
  void run(Readers& readers);
  void carry_out(Readers& readers, Load& load);
  void carry_out(Readers& readers, Read& read);
  void carry_out(Readers& readers, LoadSession& load);
  void carry_out(Readers& readers, ListSessions& list);
  void carry_out(Readers& readers, LoadUser& load);
  void carry_out(Readers& readers, ReadLog& read);
  void carry_out(Readers& readers, ReadSnapshot& read);
  void carry_out(Readers& readers, FindErasure& find);
  void carry_out(Readers& readers, FindSessions& find);

  LogGuard* const guard_;
  StoreEventSink& sink_;
  std::mutex mutex_;  ///< Guards the rest; nothing else is taken under it.
  std::condition_variable arrived_;
  std::deque<Work> waiting_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Readers>> readers_;
  std::vector<std::thread> threads_;
};

}  // namespace parley::disk
