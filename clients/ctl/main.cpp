#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <string>

#include "base/version.hpp"
#include "clients/ctl/verb.hpp"

/// parleyctl: noun, then verb.
int main(int count, char** arguments) {
  CLI::App app{"Administers a Parley broker.", "parleyctl"};
  app.set_version_flag("--version", "parleyctl " + std::string(parley::version()));
  app.require_subcommand(1);
  std::map<std::string_view, CLI::App*> nouns;
  std::function<int()> work;
  for (const auto& verb : parley::ctl::verbs()) {
    CLI::App*& noun = nouns[verb.noun];
    const bool alone = verb.name.empty();
    if (noun == nullptr) {
      noun = app.add_subcommand(std::string(verb.noun),
                                std::string(alone ? verb.meaning : parley::ctl::meaning_of(verb.noun)));
      if (!alone) noun->require_subcommand(1);
    }
    CLI::App* command = alone ? noun : noun->add_subcommand(std::string(verb.name), std::string(verb.meaning));
    auto declared = verb.declare(*command);
    command->callback([&work, declared] { work = declared; });
  }
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return work();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "parleyctl: %s\n", error.what());
    return 1;
  }
}
