// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"net"

	"github.com/hashicorp/yamux"
)

// Its defaults, but without pings.
func newYamux(conn net.Conn, client bool, bytes int) (session, error) {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	if client {
		return yamux.Client(conn, config)
	}
	return yamux.Server(conn, config)
}

func init() {
	newSession = newYamux
}
