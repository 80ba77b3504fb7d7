# Filled in with the programs, units and configuration files that are installed.
