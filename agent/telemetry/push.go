package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
)

// Destination is where figures are sent, in the text form of statsd.
type Destination struct {
	Network string // "udp", or "tcp" for statsite
	Addr    string
	// Tagged sends labels as tags, as DogStatsD understands them, and Tags along with each figure. Otherwise labels are part of
	// the name.
	Tagged bool
	Tags   []string
}

const (
	maxWaiting = 4096 // figures that wait to be sent; more are lost
	maxPacket  = 1400 // what passes any network whole
	flushEvery = 100 * time.Millisecond
	dialTime   = 5 * time.Second
	redialTime = 10 * time.Second // after a destination could not be reached
)

// pusher is a gometrics.MetricSink that sends what is counted.
type pusher struct {
	to  Destination
	log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	queue  chan string
	done   sync.WaitGroup
}

func newPusher(to Destination, log *slog.Logger) *pusher {
	p := &pusher{to: to, log: log, queue: make(chan string, maxWaiting)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.done.Go(p.run)
	return p
}

// close sends what waits, and ends.
func (p *pusher) close() {
	p.cancel()
	p.done.Wait()
}

// put has a line sent. Who counts does not wait.
func (p *pusher) put(name string, labels []gometrics.Label, value float64, kind string) {
	var b strings.Builder
	b.WriteString(plain.Replace(name))
	if !p.to.Tagged {
		for _, l := range labels {
			b.WriteString("." + plain.Replace(l.Value))
		}
	}
	b.WriteString(":" + strconv.FormatFloat(value, 'f', -1, 64) + "|" + kind)
	if p.to.Tagged && len(labels)+len(p.to.Tags) > 0 {
		tags := p.to.Tags[:len(p.to.Tags):len(p.to.Tags)]
		for _, l := range labels {
			tags = append(tags, l.Name+":"+l.Value)
		}
		b.WriteString("|#" + strings.Join(tags, ","))
	}
	b.WriteByte('\n')
	select {
	case p.queue <- b.String():
	default:
	}
}

// plain takes out of a name what has a meaning in the protocol.
var plain = strings.NewReplacer(":", "_", " ", "_", "|", "_", "\n", "_")

// run sends what comes, and connects again when that fails.
func (p *pusher) run() {
	said := false
	for {
		conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(p.ctx, p.to.Network, p.to.Addr)
		if err == nil {
			err = p.send(conn)
			_ = conn.Close()
		}
		if err == nil || p.ctx.Err() != nil {
			return
		}
		if !said {
			p.log.Warn("metrics cannot be sent; it is tried again", "to", p.to.Addr, "err", err)
			said = true
		}
		select {
		case <-time.After(redialTime):
		case <-p.ctx.Done():
			return
		}
	}
}

// send returns nil once the pusher closes.
func (p *pusher) send(conn net.Conn) error {
	var packet bytes.Buffer
	flush := func() error {
		if packet.Len() == 0 {
			return nil
		}
		_ = conn.SetWriteDeadline(time.Now().Add(dialTime))
		_, err := conn.Write(packet.Bytes())
		packet.Reset()
		if p.to.Network == "udp" {
			return nil // nobody listens at the moment: those who come later find a socket that works
		}
		return err
	}
	add := func(line string) (err error) {
		if packet.Len()+len(line) > maxPacket {
			err = flush()
		}
		packet.WriteString(line)
		return err
	}
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	var err error
	for err == nil {
		select {
		case line := <-p.queue:
			err = add(line)
		case <-ticker.C:
			err = flush()
		case <-p.ctx.Done():
			for len(p.queue) > 0 && err == nil {
				err = add(<-p.queue)
			}
			_ = flush()
			return nil
		}
	}
	return err
}

// tell sends what the sources say: gauges as they stand, and of samples how often they were and what they came to in the last
// finished interval, as one time with a sampling rate.
func (p *pusher) tell(figures []figure) {
	for _, f := range figures {
		switch {
		case f.sample == nil:
			p.put(f.name, f.labels, f.value, "g")
		case f.sample.Recent.Count == 0:
		case f.counter:
			p.put(f.name, f.labels, float64(f.sample.Recent.Count), "c")
		default:
			p.put(f.name, f.labels, f.sample.Recent.Mean(), fmt.Sprintf("ms|@%g", 1/float64(f.sample.Recent.Count)))
		}
	}
}

// SetGauge implements gometrics.MetricSink.
func (p *pusher) SetGauge(key []string, v float32) { p.SetGaugeWithLabels(key, v, nil) }

// SetGaugeWithLabels implements gometrics.MetricSink.
func (p *pusher) SetGaugeWithLabels(key []string, v float32, labels []gometrics.Label) {
	p.put(strings.Join(key, "."), labels, float64(v), "g")
}

// SetPrecisionGauge implements gometrics.PrecisionGaugeMetricSink.
func (p *pusher) SetPrecisionGauge(key []string, v float64) {
	p.SetPrecisionGaugeWithLabels(key, v, nil)
}

// SetPrecisionGaugeWithLabels implements gometrics.PrecisionGaugeMetricSink.
func (p *pusher) SetPrecisionGaugeWithLabels(key []string, v float64, labels []gometrics.Label) {
	p.put(strings.Join(key, "."), labels, v, "g")
}

// EmitKey implements gometrics.MetricSink. Nothing here tells keys.
func (p *pusher) EmitKey([]string, float32) {}

// IncrCounter implements gometrics.MetricSink.
func (p *pusher) IncrCounter(key []string, v float32) { p.IncrCounterWithLabels(key, v, nil) }

// IncrCounterWithLabels implements gometrics.MetricSink.
func (p *pusher) IncrCounterWithLabels(key []string, v float32, labels []gometrics.Label) {
	p.put(strings.Join(key, "."), labels, float64(v), "c")
}

// AddSample implements gometrics.MetricSink.
func (p *pusher) AddSample(key []string, v float32) { p.AddSampleWithLabels(key, v, nil) }

// AddSampleWithLabels implements gometrics.MetricSink.
func (p *pusher) AddSampleWithLabels(key []string, v float32, labels []gometrics.Label) {
	p.put(strings.Join(key, "."), labels, float64(v), "ms")
}
