package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Where the demonstration's services listen, and where web reaches db: a port of its own sidecar's.
const (
	webAddr      = "127.0.0.1:18080"
	dbAddr       = "127.0.0.1:15432"
	webToDB      = "127.0.0.1:15433"
	requestLimit = 5 * time.Second
)

// serve runs one of the two services until it is told to stop.
func serve(ctx context.Context, name, addr string) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "three rows from %s\n", name) })
	if name == "web" {
		handler = callDB
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "fine") })
	mux.Handle("/", handler)
	s := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: requestLimit}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// callDB answers with what db says, or with why it cannot be reached.
func callDB(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestLimit)
	defer cancel()
	body, err := get(ctx, "http://"+webToDB+"/")
	if err != nil {
		http.Error(w, fmt.Sprintf("web could not reach db: %v", err), http.StatusBadGateway)
		return
	}
	fmt.Fprintf(w, "web got %s", body)
}

// fresh opens a connection for each request, so that each is judged anew.
var fresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := fresh.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}
