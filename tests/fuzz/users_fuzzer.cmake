parley_fuzzer(users_fuzzer users_fuzzer.cpp parley_auth)
