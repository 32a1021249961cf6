// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"os"
	"strings"
	"sync"
)

// log is what yamux itself has to say. It keeps the errors: a peer that keeps to
// the protocol gives no cause for any.
type log struct {
	mu     sync.Mutex
	errors []string
}

var complaints log

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(string(b), "[ERR]") {
		l.errors = append(l.errors, strings.TrimSpace(string(b)))
		os.Stderr.WriteString("# go: " + string(b))
	}
	return len(b), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errors) == 0 {
		return "none"
	}
	return strings.Join(l.errors, "; ")
}
