#include "clients/ctl/table.hpp"

#include <gtest/gtest.h>

#include <array>
#include <boost/json/parse.hpp>

namespace parley::ctl {
namespace {

constexpr std::array kColumns{Column{"NAME", "name"}, Column{"FOR", "since", true}, Column{"UP", "up"},
                              Column{"NODES", "nodes"}};

std::string table_of(const char* text) { return table(kColumns, boost::json::parse(text).as_array()); }

TEST(Table, AlignsItsColumns) {
  EXPECT_EQ(table_of(R"([{"name":"a","since":5,"up":true,"nodes":["x","y"]},
                         {"name":"a long one","since":7200,"up":false,"nodes":[]}])"),
            "NAME        FOR  UP   NODES\n"
            "a           5s   yes  x,y\n"
            "a long one  2h   no   -\n");
}

TEST(Table, CountsCharactersAndShowsWhatIsMissing) {
  EXPECT_EQ(table_of(R"([{"name":"ä"},{},7])"),
            "NAME  FOR  UP  NODES\n"
            "ä     -    -   -\n"
            "-     -    -   -\n"
            "-     -    -   -\n");
}

TEST(Table, WritesDurationsAsPeopleDo) {
  EXPECT_EQ(table_of(R"([{"name":"\u001b[2J","since":119},{"since":120},{"since":172800}])"),
            "NAME  FOR   UP  NODES\n"
            "?[2J  119s  -   -\n"
            "-     2m    -   -\n"
            "-     2d    -   -\n");
}

TEST(Table, HasItsHeadingsWithoutRows) { EXPECT_EQ(table_of("[]"), "NAME  FOR  UP  NODES\n"); }

}  // namespace
}  // namespace parley::ctl
