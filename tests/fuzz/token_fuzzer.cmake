parley_fuzzer(token_fuzzer token_fuzzer.cpp parley_auth)
