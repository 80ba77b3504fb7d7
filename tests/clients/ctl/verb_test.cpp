#include "clients/ctl/verb.hpp"

#include <gtest/gtest.h>

namespace parley::ctl {
namespace {

TEST(Verbs, HaveAMeaningAndSoDoTheirNouns) {
  for (const Verb& verb : verbs()) {
    EXPECT_FALSE(verb.meaning.empty()) << verb.noun << " " << verb.name;
    EXPECT_EQ(meaning_of(verb.noun).empty(), verb.name.empty()) << verb.noun;
  }
}

}  // namespace
}  // namespace parley::ctl
