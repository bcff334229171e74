package lane

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tapkeeper/firmware-config/bundle"
	"tapkeeper/terminal"
)

var fleet = bundle.Limits{Payments: 1000, SumMinor: 2_000_000, PerDevice: 50_000, Age: 72 * time.Hour}

// A store can be stricter than its fleet, down to nothing, and never laxer.
func TestLimitsOfAStore(t *testing.T) {
	set := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		own   LimitsConfig
		want  terminal.Limits
		wrong string
	}{
		{LimitsConfig{}, terminal.DefaultLimits(), ""},
		{LimitsConfig{Payments: set(0), SumMinor: set(0), DeviceMinor: set(0), AgeHours: set(1), RefundMinor: set(0)}, terminal.Limits{OldestAge: time.Hour}, ""},
		{LimitsConfig{Payments: set(1001)}, terminal.Limits{}, "limits.payments"},
		{LimitsConfig{SumMinor: set(2_000_001)}, terminal.Limits{}, "limits.sum_minor"},
		{LimitsConfig{DeviceMinor: set(-1)}, terminal.Limits{}, "limits.device_minor"},
		{LimitsConfig{AgeHours: set(0)}, terminal.Limits{}, "limits.age_hours"},
		{LimitsConfig{AgeHours: set(73)}, terminal.Limits{}, "limits.age_hours"},
		{LimitsConfig{RefundMinor: set(maxRefund + 1)}, terminal.Limits{}, "limits.refund_minor"},
	} {
		got, err := (&Config{Limits: c.own}).limits(fleet)
		var wrong *FieldError
		switch {
		case c.wrong == "" && (err != nil || got != c.want):
			t.Errorf("%+v: %+v, %v", c.own, got, err)
		case c.wrong != "" && (!errors.As(err, &wrong) || wrong.Field != c.wrong):
			t.Errorf("%s: %v", c.wrong, err)
		}
	}
}

func TestBoundsOfAStore(t *testing.T) {
	b := BoundsConfig{}
	if err := b.validate(); err != nil || fmt.Sprint(b) != "{[1 2 5 10 30] 90 60}" {
		t.Errorf("defaults: %+v, %v", b, err)
	}
	for field, b := range map[string]BoundsConfig{
		"bounds.queries_s": {QueriesS: []int{1, 1}}, "bounds.tap_s": {TapS: 4}, "bounds.next_tap_s": {NextTapS: 301},
	} {
		var wrong *FieldError
		if err := b.validate(); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, queries := range [][]int{{}, {0}, {2, 1}, {301}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}} {
		if err := (&BoundsConfig{QueriesS: queries}).validate(); err == nil {
			t.Errorf("queries at %v are taken", queries)
		}
	}
}
