parley_fuzzer(scram_fuzzer scram_fuzzer.cpp parley_auth)
