// Package peers measures Latchkey beside other servers that know who a token's user is: the original
// in Python, and PocketBase. It is a module of its own because of what those need.
//
//	make bench-peers
//
// All run on this machine and take turns. They have the settings that they come with, except for
// addresses, keys and where the data are. See docs/benchmarks.md for what that means.
//
//	peers_test.go       the benchmark
//	server_test.go      a server of anybody, and what it takes
//	latchkey_test.go    Latchkey with each of its stores
//	original_test.go    the original, from original/main.py and packages of PyPI
//	pocketbase_test.go  PocketBase, from its Go module
package peers
