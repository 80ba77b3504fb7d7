#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "broker/disk/store_event.hpp"

namespace parley::disk::test {

/// Keeps every event, so that a test can wait for what it expects.
class CollectingSink final : public StoreEventSink {
 public:
  void post(shard::ShardId shard, StoreEvent event) override {
    {
      const std::lock_guard lock(mutex_);
      ++posts_;
      Collector to{*this, shard};
      deliver(event, to);
    }
    changed_.notify_all();
  }

  /// Waits until `condition`, called under the lock, holds; false when it takes too long.
  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), condition);
  }

  /// One shard's answers, in order.
  struct Shard {
    std::vector<std::pair<std::uint64_t, Result<Lsn>>> appended;
    std::map<std::string, Result<shard::LogStoreEvents::LoadedConversation>> loaded;
    std::map<std::uint64_t, Result<shard::ReadPage>> pages;
    std::map<std::uint64_t, Result<shard::LogPage>> logs;
    std::vector<std::pair<std::uint64_t, Result<void>>> plain;
    Lsn materialised;
  };
  /// Under the lock, or when nothing more comes.
  Shard& of(shard::ShardId shard) { return shards_[shard]; }
  [[nodiscard]] std::size_t posts() const { return posts_; }

  bool wait_for_appended(shard::ShardId shard, std::size_t count) {
    return wait([&] { return of(shard).appended.size() >= count; });
  }
  Result<shard::LogStoreEvents::LoadedConversation> wait_for_loaded(shard::ShardId shard, const std::string& name) {
    if (!wait([&] { return of(shard).loaded.contains(name); })) return StorageError::NotFound;
    const std::lock_guard lock(mutex_);
    return of(shard).loaded.extract(name).mapped();
  }
  Result<shard::ReadPage> wait_for_page(shard::ShardId shard, std::uint64_t token) {
    if (!wait([&] { return of(shard).pages.contains(token); })) return StorageError::NotFound;
    const std::lock_guard lock(mutex_);
    return of(shard).pages.extract(token).mapped();
  }
  Result<shard::LogPage> wait_for_log(shard::ShardId shard, std::uint64_t token) {
    if (!wait([&] { return of(shard).logs.contains(token); })) return StorageError::NotFound;
    const std::lock_guard lock(mutex_);
    return of(shard).logs.extract(token).mapped();
  }
  bool wait_for_materialised(Lsn upto, shard::ShardId shard = 0) {
    return wait([&] { return of(shard).materialised >= upto; });
  }

 private:
  struct Collector final : shard::LogStoreEvents {
    Collector(CollectingSink& sink, shard::ShardId shard) : to(sink.shards_[shard]) {}
    void appended(std::uint64_t ticket, Result<Lsn> first) override { to.appended.emplace_back(ticket, first); }
    void conversation_loaded(const std::string& name, Result<LoadedConversation> loaded) override {
      to.loaded.insert_or_assign(name, std::move(loaded));
    }
    void plain_written(std::uint64_t ticket, Result<void> outcome) override { to.plain.emplace_back(ticket, outcome); }
    void log_read(std::uint64_t token, Result<shard::LogPage> page) override {
      to.logs.insert_or_assign(token, std::move(page));
    }
    void entries_read(std::uint64_t token, Result<shard::ReadPage> page) override {
      to.pages.insert_or_assign(token, std::move(page));
    }
    void materialised(Lsn upto) override { to.materialised = upto; }
    Shard& to;
  };

  std::mutex mutex_;  ///< Guards everything.
  std::condition_variable changed_;
  std::map<shard::ShardId, Shard> shards_;
  std::size_t posts_ = 0;
};

}  // namespace parley::disk::test
