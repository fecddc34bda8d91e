package hub

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// members is how many connections the benchmarks publish to: a large group.
const members = 500

// BenchmarkPublish500 is what putting a frame into the outboxes costs, without the sockets.
func BenchmarkPublish500(b *testing.B) {
	h := New(Config{})
	topic := NewTopics[int](h)
	for range members {
		topic.Join(&Conn{hub: h, flushing: true}, 1)
	}
	frame := event("n", 1)
	b.ReportAllocs()
	for b.Loop() {
		topic.Publish(1, frame)
		for _, c := range topic.shard(1).conns[1] {
			c.outbox, c.queued = c.outbox[:0], 0
		}
	}
}

// BenchmarkFanOut publishes to a group over loopback TCP and waits until the last member has
// everything: one frame at a time, which is a quiet group, and many, which is a busy one.
// The members are another process, so CPU and allocations are the hub's alone, the
// kernel's work on its sockets included.
func BenchmarkFanOut(b *testing.B) {
	for _, burst := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("burst=%d", burst), func(b *testing.B) { fanOut(b, burst) })
	}
}

func fanOut(b *testing.B, burst int) {
	h, srv := setup(b)
	topic := NewTopics[int](h)
	h.OnOpen(func(_ context.Context, c *Conn) error { topic.Join(c, 1); return nil })
	frame := event("entry", strings.Repeat("x", 300))
	const header = 4 // of a frame of this size
	done := readElsewhere(b, srv, members, members*burst*(header+len(frame)))

	before := cpuTime(b)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		for range burst {
			topic.Publish(1, frame)
		}
		if _, err := done.ReadByte(); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	n := float64(b.N * burst * members)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/delivery")
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/n, "cpu-ns/delivery")
}

func cpuTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// The environment of a test binary that is to be the clients of a benchmark.
const (
	readURL   = "HUB_TEST_READ_URL"
	readConns = "HUB_TEST_READ_CONNS"
	readEvery = "HUB_TEST_READ_EVERY"
)

// readElsewhere connects n clients in a process of their own and gives what it writes: a
// byte whenever they have together read so many bytes more.
func readElsewhere(b *testing.B, srv *httptest.Server, n, every int) *bufio.Reader {
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), readURL+"="+srv.URL, fmt.Sprintf("%s=%d", readConns, n), fmt.Sprintf("%s=%d", readEvery, every))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	r := bufio.NewReader(out)
	if _, err := r.ReadByte(); err != nil { // all are connected
		b.Fatal(err)
	}
	return r
}

// readForParent is the other side of readElsewhere.
func readForParent() error {
	n, err := strconv.Atoi(os.Getenv(readConns))
	if err != nil {
		return err
	}
	every, err := strconv.ParseInt(os.Getenv(readEvery), 10, 64)
	if err != nil {
		return err
	}
	var (
		conns []net.Conn
		ctx   = context.Background()
	)
	for range n {
		ws, conn, err := dialThrough(ctx, os.Getenv(readURL), func(*net.TCPConn) error { return nil })
		if err != nil {
			return err
		}
		defer func() { _ = ws.CloseNow() }()       // collected, it would close the connection
		if _, _, err := ws.Read(ctx); err != nil { // hello
			return err
		}
		conns = append(conns, conn)
	}
	if _, err := os.Stdout.Write([]byte{1}); err != nil {
		return err
	}
	var (
		total   atomic.Int64
		reading sync.WaitGroup
	)
	for _, conn := range conns {
		reading.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					return
				}
				after := total.Add(int64(n))
				for range after/every - (after-int64(n))/every {
					_, _ = os.Stdout.Write([]byte{1}) // a parent that is gone kills this process
				}
			}
		})
	}
	reading.Wait()
	return nil
}
