// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"net"

	"github.com/hashicorp/yamux"
)

// Its defaults, but without pings, and with a larger window for what would wait for it.
func newYamux(conn net.Conn, client bool, bytes int) (session, error) {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	if bytes >= 65536 {
		config.MaxStreamWindowSize = 1 << 20
	}
	if client {
		return yamux.Client(conn, config)
	}
	return yamux.Server(conn, config)
}

func init() {
	newSession = newYamux
}
