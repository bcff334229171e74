package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	plotRows  = 10
	plotWidth = 50
)

// plot draws how often a time lay between two bounds. The bounds grow by a factor, because times do: one slow exchange
// of a thousand would else press all others into one row.
func plot(w io.Writer, title string, times []time.Duration) {
	if len(times) == 0 {
		return
	}
	least, most := float64(max(slices.Min(times), time.Microsecond)), float64(slices.Max(times))
	factor := math.Pow(most/least, 1.0/plotRows)
	if factor < 1.02 { // all alike
		factor = 1.02
	}
	counts := make([]int, plotRows)
	for _, t := range times {
		row := int(math.Log(max(float64(t), least)/least) / math.Log(factor))
		counts[min(row, plotRows-1)]++
	}
	fmt.Fprintf(w, "%s, %d in all\n", title, len(times))
	highest := slices.Max(counts)
	for row, n := range counts {
		from := time.Duration(least * math.Pow(factor, float64(row)))
		bar := strings.Repeat("#", (n*plotWidth+highest-1)/highest)
		fmt.Fprintf(w, "%9s  %-*s %d\n", short(from), plotWidth, bar, n)
	}
}
