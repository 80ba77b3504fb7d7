#include "clients/ctl/verb.hpp"

#include <algorithm>
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
    Verb{"slots", "move", "Moves a slot to a node, which leads it from then on", declare_slots_move},
    Verb{"slots", "release", "Lets placement decide again about a slot that was moved", declare_slots_release},
    Verb{"clients", "list", "Lists a node's clients", declare_clients_list},
    Verb{"clients", "show", "Shows a client, wherever it is connected", declare_clients_show},
    Verb{"clients", "kick", "Ends a client's connection, wherever it is", declare_clients_kick},
    Verb{"users", "add", "Adds a user to a users file", declare_users_add},
    Verb{"users", "passwd", "Gives a user of a users file another password", declare_users_passwd},
    Verb{"users", "remove", "Takes a user out of a users file", declare_users_remove},
    Verb{"users", "list", "Lists the users of a users file", declare_users_list},
    Verb{"users", "erase", "Erases what a user has said and where it was, on all nodes", declare_users_erase},
    Verb{"users", "erasures", "Lists the users that are being or were erased", declare_users_erasures},
    Verb{"token", "key", "Makes a key that signs tokens", declare_token_key},
    Verb{"token", "publish", "Prints the public halves of keys, for auth.keys_file", declare_token_publish},
    Verb{"token", "make", "Makes a token", declare_token_make},
    Verb{"token", "check", "Checks a token as the broker does", declare_token_check},
};

struct Noun {
  std::string_view name;
  std::string_view meaning;
};
constexpr std::array kNouns{
    Noun{"nodes", "The nodes of the cluster"},
    Noun{"slots", "What conversations, sessions and users are spread over"},
    Noun{"clients", "Who is connected, and sessions"},
    Noun{"users", "A file of users and their passwords' hashes; what there is of a user"},
    Noun{"token", "Tokens (JWT) and the keys that sign them"},
};

}  // namespace

std::span<const Verb> verbs() { return kVerbs; }

std::string_view meaning_of(std::string_view noun) {
  const auto found = std::ranges::find(kNouns, noun, &Noun::name);
  return found == kNouns.end() ? std::string_view() : found->meaning;
}

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }
void ask(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace parley::ctl
