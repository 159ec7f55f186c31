// Command otel-hec is the OpenTelemetry Collector's receiver of the HTTP Event Collector's protocol (splunkhecreceiver), as its makers
// publish it, with a sink in memory that tests read back.
//
// Usage: otel-hec <address of the receiver> <address of the sink>
//
// GET /records on the sink answers with one JSON object a line: {"record": <log record in OTLP's JSON>, "resource": {…}}.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/splunkhecreceiver"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

type sink struct {
	sync.Mutex
	lines [][]byte
}

func (s *sink) take(_ context.Context, logs plog.Logs) error {
	s.Lock()
	defer s.Unlock()
	for _, ofResource := range logs.ResourceLogs().All() {
		for _, ofScope := range ofResource.ScopeLogs().All() {
			for _, record := range ofScope.LogRecords().All() {
				line, err := json.Marshal(map[string]any{
					"time_unix_nano": record.Timestamp().AsTime().UnixNano(),
					"body":           record.Body().AsRaw(),
					"attributes":     record.Attributes().AsRaw(),
					"resource":       ofResource.Resource().Attributes().AsRaw(),
				})
				if err != nil {
					return err
				}
				s.lines = append(s.lines, append(line, '\n'))
			}
		}
	}
	return nil
}

func (s *sink) serve(w http.ResponseWriter, _ *http.Request) {
	s.Lock()
	defer s.Unlock()
	for _, line := range s.lines {
		if _, err := w.Write(line); err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: otel-hec <address of the receiver> <address of the sink>")
	}
	factory := splunkhecreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	given := confmap.NewFromStringMap(map[string]any{"endpoint": os.Args[1]})
	if err := given.Unmarshal(config); err != nil {
		log.Fatal(err)
	}
	into := new(sink)
	logs, err := consumer.NewLogs(into.take)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	receiver, err := factory.CreateLogs(ctx, receivertest.NewNopSettings(factory.Type()), config, logs)
	if err != nil {
		log.Fatal(err)
	}
	if err := receiver.Start(ctx, componenttest.NewNopHost()); err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/records", into.serve)
	go func() { log.Fatal(http.ListenAndServe(os.Args[2], nil)) }()
	<-ctx.Done()
	if err := receiver.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}
