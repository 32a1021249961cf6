// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import "sync"

// fates holds what has become of things, by name, for those who ask or wait.
type fates struct {
	mu    sync.Mutex
	known map[string]chan string
}

func (f *fates) of(name string) chan string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = make(map[string]chan string)
	}
	if f.known[name] == nil {
		f.known[name] = make(chan string, 1)
	}
	return f.known[name]
}

// note and wait are called once for each name.
func (f *fates) note(name, fate string)  { f.of(name) <- fate }
func (f *fates) wait(name string) string { return <-f.of(name) }
