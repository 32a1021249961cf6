// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// counted tells how many questions of ping have gone out.
type counted struct {
	io.ReadWriteCloser
}

var pinged uint64

func (c counted) Write(b []byte) (int, error) {
	// A header of its own: version, type, flags.
	if len(b) == 12 && b[1] == 2 && b[3] == 1 {
		atomic.AddUint64(&pinged, 1)
	}
	return c.ReadWriteCloser.Write(b)
}

// pipes are standard input and output that are not one.
type pipes struct {
	in, out *os.File
}

func (p pipes) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p pipes) Write(b []byte) (int, error) { return p.out.Write(b) }

func (p pipes) Close() error {
	p.in.Close()
	return p.out.Close()
}

// stdio is what lies behind standard input and output: a socket, or two pipes.
func stdio() (io.ReadWriteCloser, error) {
	if conn, err := net.FileConn(os.Stdin); err == nil {
		os.Stdin.Close()
		os.Stdout.Close()
		return counted{conn}, nil
	}
	// Those that do not block can be closed while somebody reads them.
	for _, fd := range []int{0, 1} {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return nil, err
		}
	}
	return counted{pipes{os.NewFile(0, "stdin"), os.NewFile(1, "stdout")}}, nil
}
