parley_fuzzer(mqtt_decode mqtt_decode.cpp parley_mqtt_samples)
parley_fuzzer(topic_filter topic_filter.cpp parley_routing)
parley_fuzzer(session_packets session_packets.cpp parley_session parley_mqtt_samples)

# Writes the codec's samples as inputs of mqtt_decode; to be run again when the samples change.
add_executable(mqtt_seeds EXCLUDE_FROM_ALL mqtt_seeds.cpp)
target_include_directories(mqtt_seeds PRIVATE ${CMAKE_SOURCE_DIR})
target_link_libraries(mqtt_seeds PRIVATE parley_mqtt_samples)
if(PARLEY_FUZZ)
  target_link_options(mqtt_seeds PRIVATE -fsanitize=fuzzer-no-link)
endif()
