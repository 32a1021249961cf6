// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/yamux"
)

// serveHTTP is net/http whose connections are the session's streams:
//
//	GET /hello          a line
//	GET /pattern?len=N  so many bytes of pattern 1, their number said before
//	GET /chunks?len=N   the same, in chunks
//	POST /echo          what was posted, as it comes
//	POST /count         how many bytes were posted
func serveHTTP(session *yamux.Session) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Hello from Go.")
	})
	send := func(w http.ResponseWriter, r *http.Request, announce bool) {
		len, err := strconv.ParseUint(r.URL.Query().Get("len"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if announce {
			w.Header().Set("Content-Length", fmt.Sprint(len))
		}
		give(w, len, 1, 32<<10)
	}
	mux.HandleFunc("/pattern", func(w http.ResponseWriter, r *http.Request) { send(w, r, true) })
	mux.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) { send(w, r, false) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, n)
	})
	err := http.Serve(session, mux)
	if err == yamux.ErrSessionShutdown {
		return nil
	}
	return err
}

// callHTTP makes requests, some at once, whose connections are streams that it
// opens. Each request is a line: METHOD PATH TIMES STATUS, and for POST the length
// of a body of pattern 1. It complains if any is answered by another status, or on
// /echo other than by that body.
func callHTTP(session *yamux.Session, requests string) error {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return session.Open()
		},
		MaxIdleConnsPerHost: 8,
	}}
	for _, request := range strings.Split(strings.TrimSpace(requests), "\n") {
		var method, path string
		var times, status, length int
		n, err := fmt.Sscan(request, &method, &path, &times, &status, &length)
		if n < 4 {
			return fmt.Errorf("%q: %v", request, err)
		}
		if err := callMany(client, method, path, times, status, length); err != nil {
			return fmt.Errorf("%s: %v", request, err)
		}
	}
	return session.Close()
}

func callMany(client *http.Client, method, path string, times, status, length int) error {
	var done sync.WaitGroup
	errs := make(chan error, times)
	atOnce := make(chan struct{}, 8)
	for i := 0; i < times; i++ {
		done.Add(1)
		atOnce <- struct{}{}
		go func() {
			defer done.Done()
			if err := call(client, method, path, status, length); err != nil {
				errs <- err
			}
			<-atOnce
		}()
	}
	done.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func call(client *http.Client, method, path string, status, length int) error {
	body := make([]byte, length)
	pattern(1).fill(body, 0)
	r, err := http.NewRequest(method, "http://session"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != status {
		return fmt.Errorf("answered by %s", answer.Status)
	}
	if path == "/echo" && !bytes.Equal(got, body) {
		return fmt.Errorf("%d bytes came back, and not the %d that were sent", len(got), length)
	}
	return nil
}
