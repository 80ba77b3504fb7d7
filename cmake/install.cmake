# What `cmake --install` lays down: programs, configuration, units, the user they run as, and the documentation.
install(TARGETS parleyd parley-bridge parleyctl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS parley-bench RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} OPTIONAL)

# An operator's own parley.toml stays.
install(CODE "
  set(to \"${CMAKE_INSTALL_FULL_SYSCONFDIR}/parley\")
  if(EXISTS \"\$ENV{DESTDIR}\${to}/parley.toml\")
    message(STATUS \"Keeping: \$ENV{DESTDIR}\${to}/parley.toml\")
  else()
    file(INSTALL \"${CMAKE_SOURCE_DIR}/conf/parley.toml\" DESTINATION \"\${to}\")
  endif()
")
install(FILES conf/dev.toml conf/parley.toml DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")

# The units name the places where this build installs to.
foreach(unit parleyd parley-bridge)
  file(READ systemd/${unit}.service text)
  string(REPLACE "/usr/bin/" "${CMAKE_INSTALL_FULL_BINDIR}/" text "${text}")
  string(REPLACE "/etc/parley/" "${CMAKE_INSTALL_FULL_SYSCONFDIR}/parley/" text "${text}")
  string(REPLACE "/usr/share/doc/parley/" "${CMAKE_INSTALL_FULL_DOCDIR}/" text "${text}")
  file(WRITE ${CMAKE_BINARY_DIR}/systemd/${unit}.service "${text}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS systemd/${unit}.service)
  install(FILES ${CMAKE_BINARY_DIR}/systemd/${unit}.service DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)
endforeach()
install(FILES systemd/parley.conf DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/sysusers.d)
