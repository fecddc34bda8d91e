package faults

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"parley/parleytest"
)

// The short form is part of every test run. The long one is `make faults`:
//
//	go test ./faults -run TestReliability -timeout 2h -args -long -seed=7 -report=../docs/RELIABILITY.md
var (
	long   = flag.Bool("long", false, "run every fault, as often as fits into half an hour")
	scale  = flag.Float64("scale", 1, "how much longer the long form goes on with each fault")
	seed   = flag.Uint64("seed", 0, "of what is left to chance in the order of faults; 0: another one every time")
	report = flag.String("report", "", "file to write the long form's report to")
)

// binDir is where this test process builds the server, once.
var binDir string

func TestMain(m *testing.M) {
	if isAttacker() {
		return
	}
	flag.Parse()
	// These tests wait more than they work: for processes to start, and for seconds to
	// pass. One after the other they would take minutes. The long form measures.
	parallel := "3"
	if *long {
		parallel = "1"
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err) // there is no such flag any more
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	os.Exit(func() int {
		var err error
		if binDir, err = os.MkdirTemp("", "parley-bin-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(binDir) }()
		return m.Run()
	}())
}

var build = sync.OnceValues(func() (string, error) { return parleytest.Build(context.Background(), binDir) })

// shipped is the real server's binary.
func shipped(t *testing.T) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// start runs the real server with its built-in database until the test ends.
func start(t *testing.T, env ...string) *parleytest.Server {
	t.Helper()
	return startServer(t, parleytest.Config{Binary: shipped(t), Env: env})
}

func startServer(t *testing.T, cfg parleytest.Config) *parleytest.Server {
	t.Helper()
	s, err := parleytest.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("a server's log ends:\n" + s.LogTail())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
