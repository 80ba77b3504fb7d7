# cmake -DFROM=… -DTO=… -DSOUND=… -DBROKEN=… -P plant_fault.cmake: copies a source with one fault in it. A text that isn't
# there, or twice, is an error: the fault would not be the one that its name says.
file(READ ${FROM} text)
string(FIND "${text}" "${SOUND}" first)
string(FIND "${text}" "${SOUND}" last REVERSE)
if(first EQUAL -1 OR NOT first EQUAL last)
  message(FATAL_ERROR "${FROM} doesn't have exactly once: ${SOUND}")
endif()
string(REPLACE "${SOUND}" "${BROKEN}" text "${text}")
file(WRITE ${TO} "${text}")
