// SPDX-License-Identifier: LGPL-2.1-or-later

// The other side of a test, in Go, by hashicorp/yamux as others use it: a
// session over its standard input and output, one end of each of which is ours.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"
)

var (
	client    = flag.Bool("client", false, "be yamux's client, not its server")
	window    = flag.Uint("window", 256<<10, "bytes that may be under way to us on a stream")
	backlog   = flag.Int("backlog", 256, "streams that may wait to be accepted")
	accept    = flag.Int("accept", -1, "accept so many streams, and others once told to")
	keepAlive = flag.Duration("keepalive", 0, "ping so often")
	patience  = flag.Duration("patience", 10*time.Second, "wait so long for an answer to a ping")
)

func config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.AcceptBacklog = *backlog
	c.EnableKeepAlive = *keepAlive > 0
	if c.EnableKeepAlive {
		c.KeepAliveInterval = *keepAlive
	}
	c.ConnectionWriteTimeout = *patience
	c.MaxStreamWindowSize = uint32(*window)
	c.LogOutput = &complaints
	return c
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "# go:", err)
	os.Exit(1)
}

func main() {
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "Usage: gopeer [OPTION]... peer | http-server | http-client REQUESTS")
		flag.PrintDefaults()
	}
	flag.Parse()
	// Or a pipe that nobody reads from, as standard output, would kill us.
	signal.Ignore(syscall.SIGPIPE)
	conn, err := stdio()
	if err != nil {
		fail(err)
	}
	open := yamux.Server
	if *client {
		open = yamux.Client
	}
	session, err := open(conn, config())
	if err != nil {
		fail(err)
	}
	switch flag.Arg(0) {
	case "peer":
		err = newPeer(session).run(*accept)
	case "http-server":
		err = serveHTTP(session)
	case "http-client":
		err = callHTTP(session, flag.Arg(1))
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err == io.EOF || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		os.Exit(3)
	}
	if err != nil {
		fail(err)
	}
}
