package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// metric is one figure of a run.
type metric struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// result is what a run of a scenario measured, or the medians of several.
type result struct {
	Scenario string         `json:"scenario"`
	Metrics  []metric       `json:"metrics"`
	Errors   map[string]int `json:"errors,omitempty"` // what went wrong, how often; of all runs
	Runs     [][]metric     `json:"runs,omitempty"`
}

func (r *result) add(name string, value float64) { r.Metrics = append(r.Metrics, metric{name, value}) }

// latencies adds percentiles of raw samples, in milliseconds.
func (r *result) latencies(what string, samples []time.Duration) {
	slices.Sort(samples)
	for _, p := range []float64{50, 95, 99} {
		r.add(fmt.Sprintf("%s p%g, ms", what, p), milliseconds(percentile(samples, p)))
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentile is the smallest sample that at least p percent are not above: no
// interpolation, an actual sample. Of nothing it is 0.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median joins runs of one scenario: the median of every metric by itself, every error.
func median(runs []result) result {
	joined := result{Scenario: runs[0].Scenario, Errors: map[string]int{}}
	for i, m := range runs[0].Metrics {
		values := make([]float64, 0, len(runs))
		for _, r := range runs {
			values = append(values, r.Metrics[i].Value)
		}
		slices.Sort(values)
		n := len(values)
		joined.add(m.Name, (values[(n-1)/2]+values[n/2])/2)
	}
	for _, r := range runs {
		joined.Runs = append(joined.Runs, r.Metrics)
		for what, n := range r.Errors {
			joined.Errors[what] += n
		}
	}
	return joined
}

// verdict is an error if anything went wrong in any run.
func verdict(results []result) error {
	var bad []error
	for _, r := range results {
		for what, n := range r.Errors {
			bad = append(bad, fmt.Errorf("%s: %d times: %s", r.Scenario, n, what))
		}
	}
	return errors.Join(bad...)
}

func writeJSON(out io.Writer, results []result) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	if err := e.Encode(results); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// writeTables prints results that have the same metrics side by side.
func writeTables(out io.Writer, results []result, repeat int) error {
	for len(results) > 0 {
		n := 1
		for n < len(results) && sameMetrics(results[0], results[n]) {
			n++
		}
		if err := writeTable(out, results[:n], repeat); err != nil {
			return fmt.Errorf("write the results: %w", err)
		}
		results = results[n:]
	}
	return nil
}

func sameMetrics(a, b result) bool {
	return slices.EqualFunc(a.Metrics, b.Metrics, func(x, y metric) bool { return x.Name == y.Name })
}

func writeTable(out io.Writer, results []result, repeat int) error {
	rows := [][]string{{""}}
	if repeat > 1 {
		rows[0][0] = fmt.Sprintf("median of %d", repeat)
	}
	for _, m := range results[0].Metrics {
		rows = append(rows, []string{m.Name})
	}
	rows = append(rows, []string{"errors"})
	for _, r := range results {
		rows[0] = append(rows[0], r.Scenario)
		for i, m := range r.Metrics {
			rows[i+1] = append(rows[i+1], figure(m.Value))
		}
		failed := 0
		for _, n := range r.Errors {
			failed += n
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], strconv.Itoa(failed))
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&b, "\n%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			fmt.Fprintf(&b, "   %*s", widths[i+1], cell)
		}
	}
	_, err := io.WriteString(out, b.String()+"\n")
	return err
}

// figure shows three digits that mean something, and no fewer than the whole number has.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case a >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
