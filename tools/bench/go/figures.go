// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"time"
)

// figures are what the near end counts while its time runs, after a warm-up.
type figures struct {
	warm, slice       time.Duration
	last, from, until time.Time
	warmed            bool
	messages          uint64
	samples           []uint32 // ns
}

const maxSamples = 1 << 20

func (f *figures) start() {
	f.samples = make([]uint32, 0, maxSamples)
	f.last = time.Now()
	f.from = f.last.Add(f.warm)
}

// lap is called after each round trip, or nr messages. It tells whether to go on.
func (f *figures) lap(nr uint64, sample bool) bool {
	now := time.Now()
	took := now.Sub(f.last)
	f.last = now
	if !f.warmed {
		if now.After(f.from) {
			f.warmed = true
			f.begin()
			f.last = time.Now()
			f.from = f.last
			f.until = f.last.Add(f.slice)
		}
		return true
	}
	if sample {
		f.samples = append(f.samples, uint32(took))
	}
	f.messages += nr
	return now.Before(f.until) && len(f.samples) < maxSamples
}

// driver is peer_go.c.
var driver = os.NewFile(3, "driver")

// begin tells the driver, and waits until it has looked at what we have used so far.
func (f *figures) begin() {
	b := make([]byte, 1)
	_, err := driver.Write(b)
	must(err)
	_, err = io.ReadFull(driver, b)
	must(err)
}

// report tells the driver the figures.
func (f *figures) report() {
	out := bufio.NewWriter(driver)
	head := []uint64{f.messages, uint64(f.last.Sub(f.from)), uint64(len(f.samples))}
	must(binary.Write(out, binary.LittleEndian, head))
	must(binary.Write(out, binary.LittleEndian, f.samples))
	must(out.Flush())
}
