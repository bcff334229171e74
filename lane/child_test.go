package lane_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/lane"
	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
)

// The test binary is also the daemon that the tests kill.
func TestMain(m *testing.M) {
	if os.Getenv("LANE_CONFIG") == "" {
		os.Exit(m.Run())
	}
	if err := childMain(); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

// line is what the child says: news as it comes, or the answer to a command.
type line struct {
	Dying   string            `json:"dying,omitempty"`   // the point at which it kills itself
	Told    *terminal.Payment `json:"told,omitempty"`    // what a till could have been told
	Refused *refusal          `json:"refused,omitempty"` // a request that was not taken
	Answer  *answer           `json:"answer,omitempty"`
}

type refusal struct {
	Order, Text string
	Holder      *terminal.ID // of the order
}

type answer struct {
	Problem           string
	Connected, Up     bool
	Waiting, Parked   int
	Payments, Minor   int64 // exposure
	Points            int
	Day               string
	Order             []terminal.Payment
	Match             bool
	Reconciliation    []terminal.Reconciliation
	Records           int
	HeadSeq           uint64
	JournalIsVerified bool
	Hotlist           int64 // version of the exceptions in force
	Blocked           int
}

// child is the daemon: a lane, and a till that writes down all it hears.
type child struct {
	lane   *lane.Lane
	points *points

	out sync.Mutex
}

func childMain() error {
	var cfg lane.Config
	if err := json.Unmarshal([]byte(os.Getenv("LANE_CONFIG")), &cfg); err != nil {
		return err
	}
	c := &child{}
	c.points = &points{dying: func(name string) { c.say(line{Dying: name}) }}
	c.points.arm(os.Getenv("LANE_KILL"))
	log := zerolog.New(os.Stderr).With().Timestamp().Logger()
	var err error
	if c.lane, err = lane.OpenWith(cfg, log, c.points.parts, c.points.receive); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err = c.lane.Run(ctx, func() { go c.obey(ctx) })
	return errors.Join(err, c.lane.Close())
}

// say writes a line with one write: a kill cannot cut it in two.
func (c *child) say(l line) {
	raw, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	c.out.Lock()
	defer c.out.Unlock()
	_, _ = os.Stdout.Write(append(raw, '\n')) // a parent that is gone has ended us too
}

// obey carries out the lines of stdin.
func (c *child) obey(ctx context.Context) {
	c.say(line{Answer: &answer{}}) // ready
	for scan := bufio.NewScanner(os.Stdin); scan.Scan(); {
		words := strings.Fields(scan.Text())
		if words[0] == "pay" {
			c.points.arm(strings.Join(words[4:], " "))
			go c.pay(ctx, words[1], words[2], words[3])
			continue
		}
		if words[0] == "refund" {
			c.points.arm(strings.Join(words[4:], " "))
			go c.refund(ctx, words[1], words[2], words[3])
			continue
		}
		var a answer
		if err := c.answer(ctx, words, &a); err != nil {
			a.Problem = err.Error()
		}
		c.say(line{Answer: &a})
	}
}

// pay asks for a payment and says everything that the till is told.
func (c *child) pay(ctx context.Context, order, minor, key string) {
	amount, err := strconv.ParseInt(minor, 10, 64)
	if err != nil {
		panic(err)
	}
	p, err := c.lane.Terminal().Open(ctx, terminal.Request{
		Key: key, OrderRef: order, AmountMinor: amount, Currency: lanetest.Currency, Offline: terminal.OfflineAllow,
		ExpiresIn: time.Minute,
	})
	for err == nil {
		c.say(line{Told: &p})
		if p.End() != "" {
			return
		}
		p, err = c.lane.Terminal().Wait(ctx, p.ID, p.Revision)
		if ctx.Err() != nil {
			return
		}
	}
	r := refusal{Order: order, Text: err.Error()}
	var held *terminal.OrderError
	if errors.As(err, &held) {
		r.Holder = &held.Payment.ID
	}
	c.say(line{Refused: &r})
}

// refund gives money of an order's last payment back, and says what the till is
// told of the payment after it.
func (c *child) refund(ctx context.Context, order, minor, key string) {
	amount, err := strconv.ParseInt(minor, 10, 64)
	if err != nil {
		panic(err)
	}
	payments, err := c.lane.Terminal().Order(order)
	if err == nil {
		_, err = c.lane.Terminal().Refund(ctx, terminal.RefundRequest{Payment: payments[len(payments)-1].ID, Key: key, AmountMinor: amount})
	}
	if err != nil {
		c.say(line{Refused: &refusal{Order: order, Text: err.Error()}})
		return
	}
	if payments, err = c.lane.Terminal().Order(order); err == nil {
		c.say(line{Told: &payments[len(payments)-1]})
	}
}

// answer looks something up.
func (c *child) answer(ctx context.Context, words []string, a *answer) (err error) {
	switch words[0] {
	case "disarm":
		a.Points = c.points.passed()
		c.points.arm("")
	case "status":
		s, err := c.lane.Status()
		a.Up, a.Connected = s.Link.Up, s.Link.Connected && s.ClockTrusted
		a.Waiting, a.Parked, a.Day = s.Waiting, s.Parked, s.Day
		a.Payments, a.Minor = s.Exposure.Payments, s.Exposure.SumMinor
		a.Points = c.points.passed()
		a.Hotlist, a.Blocked = s.Hotlist.ExceptionsVersion, s.Hotlist.Blocked
		return err
	case "order":
		a.Order, err = c.lane.Terminal().Order(words[1])
		if errors.Is(err, terminal.ErrNotFound) {
			return nil
		}
		return err
	case "reconcile":
		a.Reconciliation, err = c.lane.Reconcile(ctx, words[1])
		a.Match = err == nil
		for _, r := range a.Reconciliation {
			a.Match = a.Match && r.Match && r.Waiting == 0
		}
		return err
	case "verify":
		report, err := c.lane.Verify()
		a.Records, a.HeadSeq, a.JournalIsVerified = report.Records, report.Head.Seq, err == nil
		return err
	default:
		return fmt.Errorf("%q is no command", words)
	}
	return nil
}
