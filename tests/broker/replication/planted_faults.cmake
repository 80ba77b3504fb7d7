# The simulation must find these faults. Each is one line of the room, replaced in a copy that is linked in its place.
add_library(parley_planted_fault_main OBJECT planted_fault_main.cpp)
target_include_directories(parley_planted_fault_main PUBLIC ${CMAKE_SOURCE_DIR})

function(planted_fault name file sound broken)
  set(from ${CMAKE_SOURCE_DIR}/broker/replication/${file})
  set(to ${CMAKE_CURRENT_BINARY_DIR}/planted/${name}/${file})
  add_custom_command(
    OUTPUT ${to}
    COMMAND ${CMAKE_COMMAND} -DFROM=${from} -DTO=${to} "-DSOUND=${sound}" "-DBROKEN=${broken}"
            -P ${CMAKE_CURRENT_SOURCE_DIR}/plant_fault.cmake
    DEPENDS ${from} ${CMAKE_CURRENT_SOURCE_DIR}/plant_fault.cmake
    VERBATIM)
  add_executable(replication_fault_${name} ${to})
  target_compile_options(replication_fault_${name} PRIVATE -Wno-unused -Wno-unused-parameter)
  target_link_libraries(replication_fault_${name} PRIVATE parley_planted_fault_main parley_replication_simulation
                                                          parley_replication)
  add_test(NAME replication_fault.${name} COMMAND replication_fault_${name})
  set_tests_properties(replication_fault.${name} PROPERTIES TIMEOUT 120)
endfunction()

planted_fault(acknowledges_before_sync slot_following.cpp
  "const Index match = std::min(verified_, durable_)"
  "const Index match = verified_")
planted_fault(votes_without_persisting slot_election.cpp
  "vote_owed_ = !hard_state_durable()"
  "vote_owed_ = false")
planted_fault(votes_twice slot_election.cpp
  "const bool free = hard_.vote == from ||"
  "const bool free = role_ == Role::Follower ||")
planted_fault(votes_for_shorter_logs slot_election.cpp
  "!is_blank() && last >= terms_.last()"
  "!is_blank()")
planted_fault(votes_without_a_record slot_election.cpp
  "return !is_blank() && last"
  "return last")
planted_fault(forgets_where_its_log_ended slot_election.cpp
  "last >= std::max(lost_upto_, terms_.last())"
  "last >= terms_.last()")
planted_fault(stands_after_a_loss slot_election.cpp
  "if (!is_whole()) return false;"
  "")
planted_fault(is_whole_too_soon slot.cpp
  "terms_.term_at(commit_) < lost_before_"
  "terms_.term_at(commit_) < Term{}")
planted_fault(appends_to_another_log slot_following.cpp
  "const auto term = terms_.term_at(prev.index)"
  "const auto term = terms_.term_at(prev.index) ? std::optional(prev.term) : std::nullopt")
planted_fault(commits_old_terms_by_counting slot_leading.cpp
  "if (terms_.term_at(*middle) != hard_.term) return"
  "if (!terms_.term_at(*middle)) return")
planted_fault(two_changes_at_once slot_leading.cpp
  "if (!replicas_committed() || terms_.term_at(commit_) != hard_.term)"
  "if (false)")
planted_fault(late_sync_counts_for_new_entries slot.cpp
  "if (generation != generation_) return"
  "if (generation > generation_) return")
planted_fault(reuses_places_after_refusal slot.cpp
  "const bool told = sent_ > durable_"
  "const bool told = false")
