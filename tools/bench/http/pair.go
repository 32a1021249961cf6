// SPDX-License-Identifier: LGPL-2.1-or-later

// pair forward PORT | pair serve: what shmux forward and examples/http-stdio do,
// in Go: forward accepts on a port and starts serve as a child, each connection is
// a stream of hashicorp/yamux over its standard input and output, and serve is
// net/http on these. GET /bytes/N answers with so many bytes.
package main

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/hashicorp/yamux"
)

type stdio struct {
	io.Reader
	io.WriteCloser
}

func (s stdio) Close() error { return s.WriteCloser.Close() }

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.EnableKeepAlive = false
	c.LogOutput = os.Stderr
	return c
}

func serve() {
	session, err := yamux.Server(stdio{os.Stdin, os.Stdout}, config())
	must(err)
	http.HandleFunc("/bytes/", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/bytes/"))
		if err != nil || n < 0 || n > 1<<20 {
			http.Error(w, "how many?", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.Write(bytes.Repeat([]byte{'x'}, n))
	})
	http.Serve(session, nil)
}

func forward(port string) {
	child := exec.Command(os.Args[0], "serve")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	must(err)
	out, err := child.StdoutPipe()
	must(err)
	must(child.Start())
	session, err := yamux.Client(stdio{out, in}, config())
	must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	must(err)
	for {
		conn, err := listener.Accept()
		must(err)
		go func() {
			stream, err := session.Open()
			must(err)
			go func() {
				io.Copy(stream, conn)
				stream.Close()
			}()
			io.Copy(conn, stream)
			conn.Close()
		}()
	}
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "forward" {
		forward(os.Args[2])
	} else if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve()
	} else {
		log.Fatal("usage: pair forward PORT | pair serve")
	}
}
