// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"bufio"
	"net"

	"github.com/xtaci/smux"
)

// buffered spares smux system calls: it reads a frame's header and its payload one
// after the other, and hands over both at once to who can write them so.
type buffered struct {
	net.Conn
	in  *bufio.Reader
	out []byte
}

const (
	readSize  = 65536
	smallSize = 4096 // what is copied behind its header for one write
)

func (b *buffered) Read(p []byte) (int, error) {
	return b.in.Read(p)
}

// WriteBuffers is what smux looks for.
func (b *buffered) WriteBuffers(v [][]byte) (int, error) {
	if len(v[1]) <= smallSize {
		b.out = append(append(b.out[:0], v[0]...), v[1]...)
		return b.Conn.Write(b.out)
	}
	buffers := net.Buffers(v)
	n, err := buffers.WriteTo(b.Conn)
	return int(n), err
}

type smuxSession struct {
	*smux.Session
}

func (s smuxSession) Open() (net.Conn, error) {
	return s.OpenStream()
}

func (s smuxSession) Accept() (net.Conn, error) {
	return s.AcceptStream()
}

// Its defaults, but without pings, and with the largest frames for what fills some.
func newSmux(conn net.Conn, client bool, bytes int) (session, error) {
	config := smux.DefaultConfig()
	config.KeepAliveDisabled = true
	if bytes > 65536 {
		config.MaxFrameSize = 65535
	}
	conn = &buffered{Conn: conn, in: bufio.NewReaderSize(conn, readSize)}
	begin := smux.Server
	if client {
		begin = smux.Client
	}
	s, err := begin(conn, config)
	return smuxSession{s}, err
}

func init() {
	newSession = newSmux
}
