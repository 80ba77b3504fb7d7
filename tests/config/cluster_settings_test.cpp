#include "config/cluster_settings.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "config/error.hpp"

namespace parley::config {
namespace {

using Topology = RedisPlace::Topology;

TEST(RedisUrl, NamesServersByKind) {
  EXPECT_EQ(read_redis_url("redis://127.0.0.1:6379"), (RedisPlace{Topology::Single, {{"127.0.0.1", 6379}}, "", 0}));
  EXPECT_EQ(read_redis_url("redis://[::1]:6380/3"), (RedisPlace{Topology::Single, {{"::1", 6380}}, "", 3}));
  EXPECT_EQ(read_redis_url("sentinel://a:1,b:2/main"),
            (RedisPlace{Topology::Sentinel, {{"a", 1}, {"b", 2}}, "main", 0}));
  EXPECT_EQ(read_redis_url("sentinel://a:1/main/2"), (RedisPlace{Topology::Sentinel, {{"a", 1}}, "main", 2}));
  EXPECT_EQ(read_redis_url("cluster://a:1,b:2"), (RedisPlace{Topology::Cluster, {{"a", 1}, {"b", 2}}, "", 0}));
}

TEST(RedisUrl, IsRefusedWithTheSettingsName) {
  for (const char* url : {"", "127.0.0.1:6379", "http://a:1", "redis://", "redis://a", "redis://a:0", "redis://a:70000",
                          "redis://a:1,b:2", "redis://::1:6379", "redis://a:1/x", "sentinel://a:1", "sentinel://a:1/",
                          "cluster://a:1/1", "cluster://,"}) {
    try {
      read_redis_url(url);
      ADD_FAILURE() << "taken: " << url;
    } catch (const ConfigError& error) {
      EXPECT_TRUE(std::string_view(error.what()).starts_with("cluster.redis \"")) << error.what();
    }
  }
}

Config cluster_config() {
  Config config = standard_config();
  config.cluster.enabled = true;
  config.cluster.secret = "0123456789abcdef";
  config.node.id = "a";
  return config;
}

TEST(ClusterSettings, AreNotLookedAtUnlessEnabled) {
  Config config = standard_config();
  config.cluster.redis = "nonsense";
  EXPECT_NO_THROW(check(config));
  config.cluster.enabled = true;
  EXPECT_THROW(check(config), ConfigError);
}

TEST(ClusterSettings, AreRefusedWithTheSettingsName) {
  struct Case {
    std::string Config::Cluster::*setting;
    std::string value;
    std::string_view begin;
  };
  const Case cases[] = {
      {&Config::Cluster::name, "a/b", "cluster.name"},
      {&Config::Cluster::name, std::string(97, 'n'), "cluster.name"},
      {&Config::Cluster::redis, "a:1", "cluster.redis"},
      {&Config::Cluster::secret, "short", "cluster.secret"},
      {&Config::Cluster::secret, "", "a cluster needs cluster.secret"},
      {&Config::Cluster::listen, "127.0.0.1", "cluster.listen"},
      {&Config::Cluster::listen, "tcp://0.0.0.0:7400", "cluster.listen"},
      {&Config::Cluster::advertise, "10.0.0.1:7400", "cluster.advertise"},
      {&Config::Cluster::advertise, "tcp://0.0.0.0:7400", "cluster.advertise"},
  };
  EXPECT_NO_THROW(check(cluster_config()));
  for (const auto& [setting, value, begin] : cases) {
    Config config = cluster_config();
    config.cluster.*setting = value;
    try {
      check(config);
      ADD_FAILURE() << begin << " took " << value;
    } catch (const ConfigError& error) {
      EXPECT_TRUE(std::string_view(error.what()).starts_with(begin)) << error.what();
    }
  }
}

TEST(ClusterSettings, TakeAWildcardWithAnAddressToAdvertise) {
  Config config = cluster_config();
  config.cluster.listen = "tcp://0.0.0.0:7400";
  config.cluster.advertise = "tcp://node-a.example.org:0";
  EXPECT_NO_THROW(check(config));
  EXPECT_EQ(advertised_address(config), (Address{"node-a.example.org", 0}));
}

TEST(NodeName, IsTheHostsUnlessGiven) {
  Config config = standard_config();
  EXPECT_FALSE(node_name(config).empty());
  config.node.id = "berlin-1";
  EXPECT_EQ(node_name(config), "berlin-1");
  config.node.id = "berlin/1";
  EXPECT_THROW(node_name(config), ConfigError);
}

TEST(ClusterSecret, IsTheFirstLineOfItsFile) {
  const auto path = std::filesystem::temp_directory_path() / ("parley-secret-" + std::to_string(::getpid()));
  Config config = cluster_config();
  config.cluster.secret_file = path;
  EXPECT_THROW(cluster_secret(config), ConfigError);  // Both.
  config.cluster.secret.clear();
  EXPECT_THROW(cluster_secret(config), ConfigError);  // No such file.
  std::ofstream(path) << "fedcba9876543210\r\nnot this\n";
  EXPECT_EQ(cluster_secret(config), "fedcba9876543210");
  std::ofstream(path) << "short\n";
  EXPECT_THROW(cluster_secret(config), ConfigError);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace parley::config
