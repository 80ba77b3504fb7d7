#include "clients/ctl/verb.hpp"

#include <array>
#include <cstdio>

namespace parley::ctl {
namespace {

/// In the order of the help.
constexpr std::array kVerbs{
    Verb{"status", "", "Shows how a node and its cluster stand", declare_status},
    Verb{"nodes", "list", "Lists the cluster's nodes", declare_nodes_list},
    Verb{"nodes", "drain", "Makes a node give its slots away", declare_nodes_drain},
    Verb{"nodes", "undrain", "Makes a node take slots again", declare_nodes_undrain},
    Verb{"nodes", "remove", "Takes a node out of the cluster, and its data directory for good", declare_nodes_remove},
    Verb{"slots", "list", "Lists the slots: who leads them and who has them", declare_slots_list},
};

}  // namespace

std::span<const Verb> verbs() { return kVerbs; }

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }
void ask(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace parley::ctl
