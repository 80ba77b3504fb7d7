#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

/// What parleyctl can do: one table, from which the command line and its help come.
namespace parley::ctl {

/// `parleyctl NOUN NAME …`; without a name `parleyctl NOUN …`.
struct Verb {
  std::string_view noun;
  std::string_view name;
  std::string_view meaning;
  /// Adds the verb's options to its subcommand. What is returned does the work and gives the exit status; it may throw
  /// std::exception, whose text is one sentence.
  std::function<int()> (*declare)(CLI::App& command);
};

std::span<const Verb> verbs();
/// What the verbs of a noun are about, for the help. Empty for a noun that is a verb itself.
std::string_view meaning_of(std::string_view noun);

/// What verbs print: results on standard output, questions on standard error.
void print(std::string_view text);
void ask(std::string_view text);

// -- Verbs, by noun --
std::function<int()> declare_status(CLI::App& command);
std::function<int()> declare_nodes_list(CLI::App& command);
std::function<int()> declare_nodes_drain(CLI::App& command);
std::function<int()> declare_nodes_undrain(CLI::App& command);
std::function<int()> declare_nodes_remove(CLI::App& command);
std::function<int()> declare_slots_list(CLI::App& command);
std::function<int()> declare_slots_move(CLI::App& command);
std::function<int()> declare_slots_release(CLI::App& command);
std::function<int()> declare_clients_list(CLI::App& command);
std::function<int()> declare_clients_show(CLI::App& command);
std::function<int()> declare_clients_kick(CLI::App& command);
std::function<int()> declare_users_add(CLI::App& command);
std::function<int()> declare_users_passwd(CLI::App& command);
std::function<int()> declare_users_remove(CLI::App& command);
std::function<int()> declare_users_list(CLI::App& command);
std::function<int()> declare_users_erase(CLI::App& command);
std::function<int()> declare_users_erasures(CLI::App& command);
std::function<int()> declare_token_key(CLI::App& command);
std::function<int()> declare_token_publish(CLI::App& command);
std::function<int()> declare_token_make(CLI::App& command);
std::function<int()> declare_token_check(CLI::App& command);

}  // namespace parley::ctl
