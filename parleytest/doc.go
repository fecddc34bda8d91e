// Package parleytest runs the real server for tests and benchmarks: it builds the
// binary, starts it on a free port with a data directory of its own, kills it and starts
// it again, makes people and conversations, and speaks to it as an outside program
// would. It knows the public contract only, nothing of the server's packages, so that
// what passes here holds for any client.
package parleytest
