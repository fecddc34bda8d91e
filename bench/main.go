// Command bench puts load on a real Parley server and measures it: messages a second,
// latency, and what a message costs in CPU time, memory and log. It builds the server,
// starts it in a new temporary directory with its built-in PostgreSQL, fsync and all, and
// deletes both at the end.
//
//	go run ./bench                         every scenario, about three minutes
//	go run ./bench pairs -inflight 16      one scenario, with settings
//	go run ./bench pairs -repeat 3 -json   medians of three, for a program
//
// Scenarios:
//
//	pairs   pairs of people; one side sends with so many messages in flight, the other
//	        measures from send to receive; with -receipts once more, the other side saying
//	        what it has and has read, as a client with the conversation open does
//	hot     one conversation, sent into and received on several sockets of both sides
//	paced   pairs at a fixed rate that leaves the server mostly idle: its latency at rest
//	group   a group of 500, all connected, at a fixed rate and with as much as it takes:
//	        when the last member has a message, and what a delivery costs; with -receipts
//	        the latter once more, all of them saying what they have and have read
//	pages   pages of 50 of a long conversation, at its end, middle and start
//	idle    connections that do nothing: what one costs in memory, and making it in CPU
//	push    a message to people who are away: how fast all their devices are told
//
// The load runs on the same machine and shares its cores, so throughput is that of both
// together; CPU per message counts the server and its database alone, and holds better.
// Latencies are of raw samples, all of them, from the moment of sending; a message counts
// by when it was sent. Anything refused, lost or out of order is an error, is shown, and
// makes the exit status 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	scenarios   []string
	pairs       int
	inFlight    []int
	duration    time.Duration
	warmUp      time.Duration
	text        int
	sockets     int
	hotInFlight int
	rate        int
	members     int
	groupRate   int
	groupFlight int
	receipts    bool
	depth       int
	requests    int
	connections int
	devices     int
	repeat      int
	json        bool
	binary      string
	replicas    int
	profile     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	// The generator's garbage must not compete with the server more than it has to.
	debug.SetGCPercent(400)
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return fmt.Errorf("profile the generator: %w", err)
		}
		defer func() { _ = f.Close() }() // a broken profile shows when it is read
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("profile the generator: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	w, err := newWorld(ctx, o, progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()

	var results []result
	for _, s := range o.plan() {
		var runs []result
		for i := range o.repeat {
			say(progress, "%s, %d of %d", s.name, i+1, o.repeat)
			r, err := w.fresh(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			runs = append(runs, r)
		}
		results = append(results, median(runs))
	}
	if o.json {
		err = writeJSON(out, results)
	} else {
		err = writeTables(out, results, o.repeat)
	}
	return errors.Join(err, verdict(results))
}

func say(progress io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(progress, "# "+format+"\n", args...) // if nobody sees it, nobody minds
}

var names = []string{"pairs", "hot", "paced", "group", "pages", "idle", "push"}

func parse(args []string, usage io.Writer) (*options, error) {
	o := &options{}
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		o.scenarios, args = append(o.scenarios, args[0]), args[1:]
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(usage)
	f.IntVar(&o.pairs, "pairs", 200, "pairs of people (pairs, paced)")
	inFlight := f.String("inflight", "1,16", "messages in flight for each sender, a run for each number (pairs)")
	f.DurationVar(&o.duration, "duration", 10*time.Second, "time measured (pairs, hot, paced, group)")
	f.DurationVar(&o.warmUp, "warmup", 2*time.Second, "time before it (pairs, hot, paced, group)")
	f.IntVar(&o.text, "text", 128, "bytes of a message's text")
	f.IntVar(&o.sockets, "sockets", 2, "sockets for each side (hot)")
	f.IntVar(&o.hotInFlight, "hot-inflight", 64, "messages in flight for each socket (hot)")
	f.IntVar(&o.rate, "rate", 200, "messages a second (paced)")
	f.IntVar(&o.members, "members", 500, "members, each on one socket (group)")
	f.IntVar(&o.groupRate, "group-rate", 10, "messages a second (group)")
	f.IntVar(&o.groupFlight, "group-inflight", 8, fmt.Sprintf("messages in flight for each of %d senders (group)", groupSenders))
	f.BoolVar(&o.receipts, "receipts", false, "runs a second time with receipts (pairs, group)")
	f.IntVar(&o.depth, "depth", 10_000, "messages in the conversation (pages)")
	f.IntVar(&o.requests, "requests", 1000, "pages read at each place (pages)")
	f.IntVar(&o.connections, "connections", 5000, "connections (idle)")
	f.IntVar(&o.devices, "devices", 10_000, fmt.Sprintf("devices, %d a person (push)", devicesEach))
	f.IntVar(&o.repeat, "repeat", 1, "runs of each scenario; the figures are medians")
	f.IntVar(&o.replicas, "replicas", 1, "servers on one database; connections go to them in turn")
	f.BoolVar(&o.json, "json", false, "print JSON, with every run")
	f.StringVar(&o.binary, "binary", "", "server to run; built from the source if empty")
	f.StringVar(&o.profile, "cpuprofile", "", "file for a CPU profile of the generator itself")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("scenarios come before flags, and %q after them", f.Arg(0))
	}
	for _, name := range o.scenarios {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("there is no scenario %q; there are %v", name, names)
		}
	}
	if len(o.scenarios) == 0 {
		o.scenarios = names
	}
	for n := range strings.SplitSeq(*inFlight, ",") {
		v, err := strconv.Atoi(n)
		if err != nil || v < 1 {
			return nil, fmt.Errorf("-inflight %q is not a list of numbers", *inFlight)
		}
		o.inFlight = append(o.inFlight, v)
	}
	for name, v := range map[string]int{
		"pairs": o.pairs, "sockets": o.sockets, "hot-inflight": o.hotInFlight, "rate": o.rate, "depth": o.depth / 200,
		"members": o.members / 2, "group-rate": o.groupRate, "group-inflight": o.groupFlight,
		"requests": o.requests, "connections": o.connections, "devices": o.devices / (2 * devicesEach), "repeat": o.repeat, "replicas": o.replicas, "text": o.text / stampSize,
	} {
		if v < 1 {
			return nil, fmt.Errorf("-%s is too small", name)
		}
	}
	return o, nil
}

// plan is the runs to make, in order.
func (o *options) plan() []scenario {
	var plan []scenario
	for _, name := range o.scenarios {
		switch name {
		case "pairs":
			for _, n := range o.inFlight {
				name := fmt.Sprintf("%d pairs × %d", o.pairs, n)
				plan = append(plan, scenario{name, o.pairs, func(w *world, ctx context.Context) (result, error) {
					return w.pairsScenario(ctx, n, nil)
				}})
				if o.receipts {
					plan = append(plan, scenario{name + ", receipts", o.pairs, func(w *world, ctx context.Context) (result, error) {
						return w.pairsScenario(ctx, n, (*load).acknowledge)
					}})
				}
			}
		case "hot":
			plan = append(plan, scenario{fmt.Sprintf("hot %d × %d", 2*o.sockets, o.hotInFlight), 1, (*world).hotScenario})
		case "paced":
			plan = append(plan, scenario{fmt.Sprintf("paced %d/s", o.rate), o.pairs, (*world).pacedScenario})
		case "group":
			pairs := (o.members + 1) / 2
			busy := func(name string, meanwhile func(*load)) {
				plan = append(plan, scenario{name, pairs, func(w *world, ctx context.Context) (result, error) { return w.busyGroupScenario(ctx, meanwhile) }})
			}
			name := fmt.Sprintf("group of %d, %d × %d", o.members, groupSenders, o.groupFlight)
			plan = append(plan, scenario{fmt.Sprintf("group of %d, %d/s", o.members, o.groupRate), pairs, (*world).groupScenario})
			busy(name, nil)
			if o.receipts {
				busy(name+", receipts", (*load).acknowledge)
			}
		case "pages":
			plan = append(plan, scenario{fmt.Sprintf("pages of %d", o.depth), 0, (*world).pagesScenario})
		case "idle":
			plan = append(plan, scenario{fmt.Sprintf("idle × %d", o.connections), idlePairs, (*world).idleScenario})
		case "push":
			plan = append(plan, scenario{fmt.Sprintf("push to %d", o.devices), o.pushPairs(), (*world).pushScenario})
		}
	}
	return plan
}
