#include "broker/disk/store_event.hpp"

#include <gtest/gtest.h>

#include "tests/broker/disk/collecting_sink.hpp"

namespace parley::disk {
namespace {

TEST(StoreEvents, AreDeliveredAsTheCallsTheyStandFor) {
  test::CollectingSink sink;
  sink.post(2, AppendedEvent{{{1, Lsn{10}}, {2, StorageError::DiskFull}}});
  sink.post(2, LoadedEvent{"tea", StorageError::CorruptRecord});
  sink.post(2, EntriesReadEvent{7, shard::ReadPage{.entries = {}, .corrupt = {{3}}}});
  sink.post(2, LogReadEvent{8, StorageError::NotFound});
  sink.post(2, MaterialisedEvent{{11}});
  auto& shard = sink.of(2);
  ASSERT_EQ(shard.appended.size(), 2U);
  EXPECT_EQ(shard.appended[0].first, 1U);
  EXPECT_EQ(*shard.appended[0].second, Lsn{10});
  EXPECT_EQ(shard.appended[1].second.error(), make_error_code(StorageError::DiskFull));
  EXPECT_EQ(shard.loaded.at("tea").error(), make_error_code(StorageError::CorruptRecord));
  EXPECT_EQ(shard.pages.at(7)->corrupt, (std::vector<Seq>{{3}}));
  EXPECT_EQ(shard.logs.at(8).error(), make_error_code(StorageError::NotFound));
  EXPECT_EQ(shard.materialised, Lsn{11});
}

}  // namespace
}  // namespace parley::disk
