// SPDX-License-Identifier: LGPL-2.1-or-later

// shmux-bench-go-MUX near|far TEST BYTES WARM_NS SLICE_NS: one end of a pair, which
// does what the cases of tools/bench do, in the same order, over that MUX.
package main

import (
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"time"
)

// session is one of a MUX, each of which has a file; a program is built with one.
type session interface {
	Open() (net.Conn, error)
	Accept() (net.Conn, error)
}

var newSession func(conn net.Conn, client bool, bytes int) (session, error)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	must(err)
	return n
}

func put(w io.Writer, b []byte, seq uint64) {
	fill(b, seq)
	_, err := w.Write(b)
	must(err)
}

func get(r io.Reader, b []byte, seq uint64) {
	_, err := io.ReadFull(r, b)
	must(err)
	check(b, seq)
}

func open(s session) net.Conn {
	stream, err := s.Open()
	must(err)
	return stream
}

func accept(s session) net.Conn {
	stream, err := s.Accept()
	must(err)
	return stream
}

// --- round trips on one stream -----------------------------------------------

func nearRTT(s session, b []byte, f *figures) {
	stream := open(s)
	f.start()
	for n := uint64(0); ; n++ {
		put(stream, b, n)
		get(stream, b, ^n)
		if !f.lap(1, true) {
			return
		}
	}
}

func farRTT(s session, b []byte) {
	stream := accept(s)
	for n := uint64(0); ; n++ {
		get(stream, b, n)
		put(stream, b, ^n)
	}
}

// --- open a stream, have it echoed, close it ---------------------------------

func nearChurn(s session, b []byte, f *figures) {
	f.start()
	for n := uint64(0); ; n++ {
		stream := open(s)
		put(stream, b, n)
		get(stream, b, ^n)
		must(stream.Close())
		if !f.lap(1, true) {
			return
		}
	}
}

func farChurn(s session, b []byte) {
	for n := uint64(0); ; n++ {
		stream := accept(s)
		get(stream, b, n)
		put(stream, b, ^n)
		must(stream.Close())
	}
}

// --- one way -----------------------------------------------------------------

func nearOneway(s session, b []byte, f *figures) {
	stream := open(s)
	_, err := stream.Write(b[:8])
	must(err)
	f.start()
	for n := uint64(0); ; n++ {
		get(stream, b, n)
		if !f.lap(1, false) {
			return
		}
	}
}

func farOneway(s session, b []byte) {
	stream := accept(s)
	_, err := io.ReadFull(stream, b[:8])
	must(err)
	for n := uint64(0); ; n++ {
		put(stream, b, n)
	}
}

var near = map[string]func(session, []byte, *figures){
	"rtt": nearRTT, "churn": nearChurn, "oneway": nearOneway,
}

var far = map[string]func(session, []byte){
	"rtt": farRTT, "churn": farChurn, "oneway": farOneway,
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("shmux-bench-go: ")
	if len(os.Args) != 6 {
		log.Fatal("usage: shmux-bench-go near|far rtt|churn|oneway BYTES WARM_NS SLICE_NS")
	}
	end, test := os.Args[1], os.Args[2]
	if near[test] == nil || end != "near" && end != "far" {
		log.Fatalf("there is no %s %s", end, test)
	}
	conn, err := net.FileConn(os.Stdin)
	must(err)
	b := make([]byte, number(os.Args[3]))
	s, err := newSession(conn, end == "near", len(b))
	must(err)
	if end == "far" {
		far[test](s, b)
	}
	f := &figures{
		warm:  time.Duration(number(os.Args[4])),
		slice: time.Duration(number(os.Args[5])),
	}
	near[test](s, b, f)
	f.report()
}
