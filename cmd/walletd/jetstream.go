package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
)

const (
	// mqttStream is where NATS keeps what was published over its MQTT gateway
	// with QoS 1, under msgsPrefix and the topic with dots for slashes.
	mqttStream = "$MQTT_msgs"
	msgsPrefix = "$MQTT.msgs."
	// redeliverAfter is when a message that nobody acknowledged goes to another
	// worker. A second answer in the meantime costs time and harms nothing.
	redeliverAfter = 10 * time.Second
	// laterAfter is the pause before a message that met trouble comes again.
	laterAfter = time.Second
	// pendingMax bounds what all workers together may hold unacknowledged.
	pendingMax = 4096
	// pullHeartbeat notices a consumer that is gone; the server sends twice in it.
	pullHeartbeat = 5 * time.Second
)

// pull takes messages from a NATS cluster: terminals speak MQTT with its
// gateway, workers share one durable consumer. NATS has no $share.
type pull struct {
	servers string // nats://HOST:PORT or tls://HOST:PORT, with commas between
	tls     *tlsFiles
	group   string // name of the durable consumer
	workers int
	wallet  handler
	log     zerolog.Logger
	refused refusals
	ready   func() // after each beginning
}

// isNATS tells an address for pull from one of MQTT.
func isNATS(broker string) bool {
	return strings.HasPrefix(broker, "nats://") || strings.HasPrefix(broker, "tls://")
}

// parseNATS checks the addresses and tells whether they want TLS.
func parseNATS(text string) (secure bool, err error) {
	parts := strings.Split(text, ",")
	for n, part := range parts {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Hostname() == "" || u.Path != "" || u.User != nil || !isNATS(u.Scheme+"://") || n > 0 && secure != (u.Scheme == "tls") || n == maxNodes {
			return false, fmt.Errorf("broker %q: want up to %d of nats://HOST:PORT, or all tls://HOST:PORT", part, maxNodes)
		}
		secure = u.Scheme == "tls"
	}
	return secure, nil
}

// run works until ctx ends. The library connects again by itself; when the
// consumer cannot be had the whole begins anew.
func (p *pull) run(ctx context.Context) {
	wait := backoffMin
	for ctx.Err() == nil {
		began := time.Now()
		err := p.work(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRenew) {
			p.log.Info().Msg("the certificate was replaced")
			continue
		}
		if time.Since(began) > steadyTime {
			wait = backoffMin
		}
		pause := wait/2 + rand.N(wait/2)
		p.log.Warn().Err(err).Dur("again_in_ms", pause).Msg("no messages from the broker")
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		wait = min(2*wait, backoffMax)
	}
}

func (p *pull) work(ctx context.Context) error {
	nc, err := p.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	consumer, err := p.consumer(ctx, nc)
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(2*p.workers), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return fmt.Errorf("pull messages: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	context.AfterFunc(ctx, messages.Stop) // ends Next
	var watch, work sync.WaitGroup
	defer watch.Wait()
	defer cancel(nil)
	watch.Go(func() { cancel(p.renewal(ctx)) })
	p.ready()
	for range p.workers {
		work.Go(func() {
			for {
				m, err := messages.Next()
				if err != nil {
					cancel(fmt.Errorf("pull messages: %w", err))
					return
				}
				p.answer(ctx, nc, m)
			}
		})
	}
	work.Wait()
	return context.Cause(ctx)
}

// connect keeps nothing while there is no connection: what could not be sent
// is not acknowledged either, and comes again.
func (p *pull) connect() (*nats.Conn, error) {
	options := []nats.Option{nats.Name("walletd"), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.Timeout(connectTime),
		nats.FlusherTimeout(writeTime), nats.PingInterval(pingTime), nats.MaxPingsOutstanding(2),
		nats.ReconnectWait(backoffMin), nats.ReconnectJitter(backoffMin, backoffMin),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { p.log.Warn().Err(err).Msg("connection to the broker lost") }),
		nats.ReconnectHandler(func(nc *nats.Conn) { p.log.Info().Str("server", nc.ConnectedUrlRedacted()).Msg("connected again") }),
		// Permissions that are missing are told nowhere else.
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			p.log.Warn().Err(err).Msg("the broker reports an error")
		})}
	if p.tls != nil {
		config, err := p.tls.load()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.Secure(config))
	}
	nc, err := nats.Connect(p.servers, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	return nc, nil
}

// consumer makes the group's durable consumer, or finds it. The stream keeps only what
// somebody is interested in: before the first worker came nothing is kept.
func (p *pull) consumer(ctx context.Context, nc *nats.Conn) (jetstream.Consumer, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	c, err := js.CreateOrUpdateConsumer(ctx, mqttStream, jetstream.ConsumerConfig{Durable: p.group,
		FilterSubject: msgsPrefix + strings.NewReplacer("/", ".", "+", "*").Replace(wire.UpFilter),
		AckPolicy:     jetstream.AckExplicitPolicy, AckWait: redeliverAfter, MaxAckPending: pendingMax, MaxDeliver: -1})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("no terminal has ever connected to the MQTT gateway: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("make the consumer %s of %s: %w", p.group, mqttStream, err)
	}
	return c, nil
}

// answer acknowledges a message after its answers were sent. Both go over one
// connection: the server has the answers when it sees the acknowledgement.
func (p *pull) answer(ctx context.Context, nc *nats.Conn, m jetstream.Msg) {
	topic := strings.ReplaceAll(strings.TrimPrefix(m.Subject(), msgsPrefix), ".", "/")
	out, err := p.wallet.Handle(ctx, topic, m.Data())
	switch {
	case errors.Is(err, backend.ErrRejected):
		p.refused.note(p.log, err, topic, len(m.Data()))
	case err != nil:
		if ctx.Err() == nil {
			p.log.Error().Err(err).Str("topic", topic).Msg("message not handled; it comes again")
		}
		_ = m.NakWithDelay(laterAfter) // if it is lost, the message comes after redeliverAfter
		return
	}
	for _, a := range out {
		if err := nc.Publish(strings.ReplaceAll(a.Topic, "/", "."), a.Payload); err != nil {
			p.log.Warn().Err(err).Str("topic", a.Topic).Msg("answer not sent; its message comes again")
			return
		}
	}
	if err := m.Ack(); err != nil {
		p.log.Warn().Err(err).Str("topic", topic).Msg("message not acknowledged; it comes again")
	}
}

// renewal returns errRenew when the files of TLS were replaced, and nil when ctx ends.
func (p *pull) renewal(ctx context.Context) error {
	shown, _, _ := p.tls.state()
	look := time.NewTicker(renewCheck)
	defer look.Stop()
	warned := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		if p.tls == nil {
			continue
		}
		_, _ = p.tls.load() // its failure is in the state
		stamp, end, reason := p.tls.state()
		if reason != nil {
			p.log.Warn().Err(reason).Msg("the new certificate is not taken; the last good one stays in use")
		}
		if !end.IsZero() && time.Until(end) < warnAhead && time.Since(warned) > 24*time.Hour {
			warned = time.Now()
			p.log.Warn().Time("not_after", end).Msg("the wallet's certificate ends soon: replace its files")
		}
		if stamp != shown {
			return errRenew
		}
	}
}
