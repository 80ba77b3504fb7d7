#include "clients/bench/scenarios.hpp"

#include <gtest/gtest.h>

#include "clients/bench/broker.hpp"
#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

/// Every scenario for half a second against a real broker. What it costs is not looked at here, only what arrived.
class ScenariosAgainstMosquitto : public testing::Test {
 protected:
  static void SetUpTestSuite() { broker_ = std::make_unique<RunningBroker>(setup({})); }
  static void TearDownTestSuite() { broker_.reset(); }

  static BrokerSetup setup(std::vector<std::string> settings) {
    return {.brand = Brand::Mosquitto,
            .program = "/usr/sbin/mosquitto",
            .settings = std::move(settings),
            .core = usable_cores().front(),
            .secure = true};
  }
  static RunOptions short_run(Scenario scenario) {
    RunOptions run = default_run(scenario);
    run.target = broker_->target();
    run.warmup = 0.1;
    run.seconds = 0.4;
    run.traffic.name = testing::UnitTest::GetInstance()->current_test_info()->name();
    return run;
  }
  static double figure(const Report& report, std::string_view name) {
    const auto value = report.find(name);
    EXPECT_TRUE(value) << name << " is missing in\n" << to_text(report);
    return value.value_or(-1);
  }
  static void expect_clean(const Report& report) {
    EXPECT_TRUE(report.problems.empty()) << to_text(report);
    for (const char* name : {"lost", "duplicated", "reordered", "refused", "foreign"}) {
      EXPECT_EQ(figure(report, name), 0) << name;
    }
  }

  static std::unique_ptr<RunningBroker> broker_;
};
std::unique_ptr<RunningBroker> ScenariosAgainstMosquitto::broker_;

TEST_F(ScenariosAgainstMosquitto, PairsDeliverEverythingAtEveryQosAndVersion) {
  for (const auto version : {mqtt::ProtocolVersion::V5, mqtt::ProtocolVersion::V3_1_1}) {
    for (const auto qos : {mqtt::Qos::AtMostOnce, mqtt::Qos::AtLeastOnce, mqtt::Qos::ExactlyOnce}) {
      RunOptions run = short_run(Scenario::Pairs);
      run.traffic.streams = 5;
      run.traffic.window = 10;
      run.traffic.qos = qos;
      run.traffic.client.version = version;
      const Report report = run_scenario(run);
      expect_clean(report);
      EXPECT_GT(figure(report, "deliveries_per_second"), 100);
      EXPECT_GT(figure(report, "broker_cpu_us_per_delivery"), 0);
      EXPECT_GT(figure(report, "broker_rss_mb"), 1);
    }
  }
}

TEST_F(ScenariosAgainstMosquitto, FanoutReachesEverySubscriber) {
  RunOptions run = short_run(Scenario::Fanout);
  run.traffic.subscribers = 20;
  const Report report = run_scenario(run);
  expect_clean(report);
  EXPECT_GT(figure(report, "deliveries_per_second"), 5 * figure(report, "messages_per_second"));
}

TEST_F(ScenariosAgainstMosquitto, LatencyKeepsItsRate) {
  RunOptions run = short_run(Scenario::Latency);
  run.traffic.streams = 5;
  run.traffic.rate = 500;
  const Report report = run_scenario(run);
  expect_clean(report);
  EXPECT_NEAR(figure(report, "messages_per_second"), 500, 100);
  EXPECT_GT(figure(report, "p99_us"), 0);
  EXPECT_LE(figure(report, "p50_us"), figure(report, "p99_us"));
}

TEST_F(ScenariosAgainstMosquitto, IdleConnectionsAreCountedAndStay) {
  const RunningBroker fresh(setup({}));  // One that has no freed memory left to use.
  RunOptions run = short_run(Scenario::Idle);
  run.target = fresh.target();
  run.connections = 200;
  const Report report = run_scenario(run);
  EXPECT_TRUE(report.problems.empty()) << to_text(report);
  EXPECT_GT(figure(report, "connects_per_second"), 10);
  EXPECT_GT(figure(report, "rss_bytes_per_connection"), 100);
}

TEST_F(ScenariosAgainstMosquitto, TlsConnectionsStayAndSessionsAreResumed) {
  for (const auto version : {TlsVersion::V1_2, TlsVersion::V1_3}) {
    RunOptions run = short_run(Scenario::Tls);
    run.connections = 50;
    run.tls_version = version;
    const Report report = run_scenario(run);
    EXPECT_TRUE(report.problems.empty()) << to_text(report);
    EXPECT_GE(figure(report, "rss_bytes_per_connection"), 0);
    EXPECT_GT(figure(report, "full_per_second"), 1);
    EXPECT_GT(figure(report, "resumed_per_second"), 1);
  }
}

TEST_F(ScenariosAgainstMosquitto, AStormComesAndThePairGoesOn) {
  RunOptions run = short_run(Scenario::Storm);
  run.connections = 50;
  const Report report = run_scenario(run);
  expect_clean(report);
  EXPECT_GT(figure(report, "quiet_p99_us"), 0);
  EXPECT_GT(figure(report, "storm_p99_us"), 0);
}

TEST_F(ScenariosAgainstMosquitto, AbsentMembersGetEverythingWhenTheyComeBack) {
  RunOptions run = short_run(Scenario::Absent);
  run.members = {2, 30};
  run.messages = 200;
  const Report report = run_scenario(run);
  expect_clean(report);
  EXPECT_GT(figure(report, "broker_cpu_us_per_publish_2"), 0);
  EXPECT_GT(figure(report, "cpu_growth"), 0);
}

TEST_F(ScenariosAgainstMosquitto, SlowSubscriberGetsEverythingInTheEnd) {
  RunOptions run = short_run(Scenario::Slow);
  run.messages = 2'000;
  run.traffic.payload_size = 4'000;  // More than the sockets between them hold.
  run.seconds = 1;
  const Report report = run_scenario(run);
  expect_clean(report);
  EXPECT_GT(figure(report, "behind"), 0);
  EXPECT_GT(figure(report, "others_rate_share"), 0.5);
}

TEST_F(ScenariosAgainstMosquitto, LostMessagesAreSeen) {
  const RunningBroker forgetful(setup({"max_queued_messages 5", "max_inflight_messages 1"}));
  RunOptions run = short_run(Scenario::Absent);
  run.target = forgetful.target();
  run.members = {1};
  run.messages = 200;
  const Report report = run_scenario(run);
  EXPECT_GT(figure(report, "lost"), 0);
  EXPECT_FALSE(report.problems.empty());
}

TEST_F(ScenariosAgainstMosquitto, FailuresAreOneSentence) {
  RunOptions nobody = short_run(Scenario::Pairs);
  nobody.target.port = free_port();
  EXPECT_THROW(run_scenario(nobody), Failure);

  const RunningBroker strict(setup({"allow_anonymous false"}));
  RunOptions unknown = short_run(Scenario::Pairs);
  unknown.target = strict.target();
  try {
    run_scenario(unknown);
    FAIL() << "connected without a name";
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("the broker refused the connection"), std::string::npos)
        << failure.what();
  }

  RunOptions kept = short_run(Scenario::Absent);
  kept.traffic.qos = mqtt::Qos::AtMostOnce;
  EXPECT_THROW(run_scenario(kept), Failure);
}

}  // namespace
}  // namespace parley::bench
